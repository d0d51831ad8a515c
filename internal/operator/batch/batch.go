// Package batch sends many requests together: it reads them from a file, sends those that are not there yet, follows their tasks
// to the end, and writes the events into a report.
package batch

import "github.com/capstan-worker/capstan/internal/operator/send"

// Request is a request of a batch: one that every worker accepts, under an id of its own.
type Request struct {
	send.Request
	Place string // where it stands, such as "orders.csv:17"
}

// Batch is a set of requests that are sent together. No two of them have the same task id.
type Batch struct {
	Name     string // the field batch that was asked for; "" if the requests have their own, or none
	Requests []Request
}
