package redrive

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/deadletter"
	"github.com/capstan-worker/capstan/internal/operator/request"
	"github.com/capstan-worker/capstan/internal/operator/send"
	"github.com/capstan-worker/capstan/internal/task"
)

// unfitError says why a task is not run again.
type unfitError struct {
	why    Reason
	detail string // more about it, or ""
}

// Error implements error.
func (e unfitError) Error() string { return strings.TrimSuffix(string(e.why)+": "+e.detail, ": ") }

// newRequest returns the request of a new run. The letter's own task id gives way to that of the run. The error is an
// unfitError if there is no such request, or else says why the body could not be read.
func (p *Plan) newRequest(ctx context.Context, l deadletter.Letter, newID string, now time.Time) (send.Request, error) {
	body, err := l.Request(ctx, p.q)
	if lost, isLost := errors.AsType[deadletter.NotKeptError](err); isLost {
		return send.Request{}, unfitError{NotKept, lost.Why}
	}
	if err != nil {
		return send.Request{}, err
	}
	o, err := request.Parse(body)
	if err != nil {
		return send.Request{}, unfitError{NotARequest, err.Error()}
	}
	o = o.With("task_id", request.Quote(newID))
	for _, change := range p.changes {
		o = o.With(change.name, change.value)
	}
	data := o.JSON()
	parsed, err := send.ParseRequest(p.q.Config, data)
	switch {
	case isRedacted(data, body):
		return send.Request{}, unfitError{why: Redacted}
	case err != nil:
		return send.Request{}, unfitError{NotARequest, err.Error()}
	case !parsed.ExpiresAt.IsZero() && parsed.ExpiresAt.Before(now):
		return send.Request{}, unfitError{why: ExpiresBefore}
	}
	return parsed, nil
}

// isRedacted reports whether a request still has marks in the place of secrets, which the body of its letter had. A text
// that only looks like a mark is none.
func isRedacted(data, body []byte) bool {
	marks := task.RedactionMarks(body)
	if len(marks) == 0 {
		return false
	}
	return len(task.RedactionMarks(data)) > 0 || slices.ContainsFunc(marks, func(mark string) bool {
		return len(mark) > 1 && bytes.Contains(data, bytes.Trim(request.Quote(mark), `"`))
	})
}

// batchOf returns the batch of the new run.
func (p *Plan) batchOf(l deadletter.Letter) string {
	batch := l.Batch
	for _, change := range p.changes {
		if change.name == "batch" {
			batch = request.Object{}.With(change.name, change.value).Text("batch")
		}
	}
	return batch
}
