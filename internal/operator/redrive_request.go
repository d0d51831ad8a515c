package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// unfitError says why a task is not run again.
type unfitError struct {
	why    Reason
	detail string // more about it, or ""
}

// Error implements error.
func (e unfitError) Error() string { return strings.TrimSuffix(string(e.why)+": "+e.detail, ": ") }

// request returns the request of a new run. The letter's own task id gives way to that of the run. The error is an
// unfitError if there is no such request, or else says why the body could not be read.
func (r *Redrive) request(ctx context.Context, l letter, newID string, now time.Time) (outgoing, error) {
	body, err := r.q.bodyOf(ctx, l)
	if err != nil {
		return outgoing{}, err
	}
	o, err := parseObject(body)
	if err != nil {
		return outgoing{}, unfitError{NotARequest, err.Error()}
	}
	o = o.with("task_id", quote(newID))
	for _, change := range r.changes {
		o = o.with(change.name, change.value)
	}
	data := o.json()
	parsed, err := parseOutgoing(r.q.Config, data)
	switch {
	case isRedacted(data, body):
		return outgoing{}, unfitError{why: Redacted}
	case err != nil:
		return outgoing{}, unfitError{NotARequest, err.Error()}
	case !parsed.ExpiresAt.IsZero() && parsed.ExpiresAt.Before(now):
		return outgoing{}, unfitError{why: ExpiresBefore}
	}
	return parsed, nil
}

// isRedacted reports whether a request still has marks in the place of secrets, which the body of its letter had. A text
// that only looks like a mark is none.
func isRedacted(request, body []byte) bool {
	marks := task.RedactionMarks(body)
	if len(marks) == 0 {
		return false
	}
	return len(task.RedactionMarks(request)) > 0 || slices.ContainsFunc(marks, func(mark string) bool {
		return len(mark) > 1 && bytes.Contains(request, bytes.Trim(quote(mark), `"`))
	})
}

// batchOf returns the batch of the new run.
func (r *Redrive) batchOf(l letter) string {
	batch := l.batch
	for _, change := range r.changes {
		if change.name == "batch" {
			batch = object{}.with(change.name, change.value).text("batch")
		}
	}
	return batch
}

// bodyOf returns the request in a letter. One that was too large for a message is fetched from the object store. The error
// is an unfitError if the body was not kept.
func (q Queue) bodyOf(ctx context.Context, l letter) ([]byte, error) {
	switch {
	case l.header.Get(publisher.BodyHeader) != "":
		return nil, unfitError{NotKept, "it may have held secrets"}
	case l.isElsewhere():
		return q.fetch(ctx, l.header.Get(publisher.ObjectHeader))
	default:
		return l.body, nil
	}
}

// fetch reads an object of Capstan's own store. Anyone who may publish a letter can name an object. The error is an
// unfitError if the object is not there, or is damaged.
func (q Queue) fetch(ctx context.Context, object string) ([]byte, error) {
	bucket := q.Config.Result.Bucket
	name, ours := strings.CutPrefix(object, bucket+"/")
	if !ours || name == "" {
		return nil, unfitError{NotKept, fmt.Sprintf("%.80q is not in the object store %s", object, bucket)}
	}
	var data []byte
	store, err := q.JS.ObjectStore(ctx, bucket)
	if err == nil {
		data, err = store.GetBytes(ctx, name)
	}
	isLost := func(why error) bool { return errors.Is(err, why) }
	switch {
	case err == nil:
		return data, nil
	case slices.ContainsFunc([]error{jetstream.ErrBucketNotFound, jetstream.ErrObjectNotFound, jetstream.ErrBadObjectMeta, jetstream.ErrDigestMismatch}, isLost):
		return nil, unfitError{NotKept, fmt.Sprintf("%.80q of object store %s: %v", name, bucket, err)}
	default:
		return nil, fmt.Errorf("read %.80q of object store %s: %w", name, bucket, q.explain(err))
	}
}

// headerOf returns the headers that the request of a letter had, without those that told NATS how to store it.
func (q Queue) headerOf(ctx context.Context, l letter) (nats.Header, error) {
	kept := nats.Header{}
	keep := func(name string, values []string) {
		if original, ok := strings.CutPrefix(name, publisher.OriginalPrefix); ok {
			name = original
		} else if hasPrefix(name, "Capstan-") {
			return
		}
		if !hasPrefix(name, "Nats-") {
			kept[name] = values
		}
	}
	for name, values := range l.header {
		keep(name, values)
	}
	object := l.header.Get(publisher.HeadersHeader)
	if object == "" {
		return kept, nil
	}
	text, err := q.fetch(ctx, object)
	if err != nil {
		return nil, err
	}
	var original map[string][]string
	if err := json.Unmarshal(text, &original); err != nil {
		return nil, fmt.Errorf("read the headers in %.80q: %w", object, err)
	}
	for name, values := range original {
		if !hasPrefix(name, "Nats-") {
			kept[name] = values
		}
	}
	return kept, nil
}

// hasPrefix reports whether a header's name has a prefix, in any case.
func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
}
