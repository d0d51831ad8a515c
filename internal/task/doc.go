// Package task defines the terms of Capstan: what a request, a record and an event are, which rules a request must follow,
// which error codes an event can have, and how the result of a workflow is judged.
//
// A task begins as a [Delivery]. [ParseRequest] reads it as a [Request], or returns an [InvalidError] that a user can
// act on. While the task runs, a [Record] in a bucket says how far it has got. When its workflow has an [Outcome],
// [Request.Judge] returns a [Verdict], and an [Event] publishes it.
//
// The package knows neither NATS nor HTTP. Every other package uses its types, and imports little else of the project.
package task
