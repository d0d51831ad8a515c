// Package task holds the words of Capstan: what a request, a record and an event are, which rules a
// request keeps, which codes an event can carry, and how a workflow's answer is judged.
//
// It knows neither NATS nor HTTP. Every other package speaks in its terms and imports nothing else
// of the project.
package task
