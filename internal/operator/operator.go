// Package operator reads a queue of tasks as an operator may: the requests, records and events in it, and how its workers are
// steered. It reads NATS only, so it works while all workers are stopped, and it changes nothing.
//
// What people do with a queue is built on it, each in a package of its own: they inspect it, send a batch to it, redrive
// failed tasks, and steer its workers.
package operator

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/jet"
)

// Queue is a queue of tasks as an operator sees it: its streams and buckets.
type Queue struct {
	Conn   *nats.Conn
	JS     jetstream.JetStream // in the JetStream domain of the settings
	Config app.Config          // the names of the streams and buckets
}

// The kinds of what can be missing.
const (
	streamKind = "stream"
	bucketKind = "bucket"
)

// MissingError says that a stream or a bucket does not exist. An operator's tool creates none.
type MissingError struct {
	Kind string // "stream" or "bucket"
	Name string
	URL  string // of the server, without a login
}

// Error implements error.
func (e *MissingError) Error() string {
	return fmt.Sprintf("no %s %s at %s; start a worker first, it creates what is missing (unless NATS_PROVISION is false)", e.Kind, e.Name, e.URL)
}

// IsMissing reports whether an error says that a stream or bucket does not exist.
func IsMissing(err error) bool {
	_, ok := errors.AsType[*MissingError](err)
	return ok
}

// Stream finds a stream. The error is a *MissingError if there is none.
func (q Queue) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	return q.find(ctx, streamKind, name, name)
}

// MessageAt reads the message at a sequence of a stream. It returns nil if there is none, or no such stream.
func (q Queue) MessageAt(ctx context.Context, name string, seq uint64) (*jetstream.RawStreamMsg, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := q.Stream(asking, name)
	if IsMissing(err) || err == nil && seq == 0 { // the first message has sequence 1
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	msg, err := stream.GetMsg(asking, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read message %d of stream %s: %w", seq, name, q.Explain(err))
	}
	return msg, nil
}

// bucketStream finds the stream behind a bucket. The error is a *MissingError if there is none.
func (q Queue) bucketStream(ctx context.Context, bucket string) (jetstream.Stream, error) {
	return q.find(ctx, bucketKind, bucket, jet.BucketStream(bucket))
}

// find finds the stream of this name, which is, or is behind, what people know as kind and name.
func (q Queue) find(ctx context.Context, kind, name, stream string) (jetstream.Stream, error) {
	s, err := q.JS.Stream(ctx, stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, q.missing(kind, name)
	case err != nil:
		return nil, fmt.Errorf("find %s %s: %w", kind, name, q.Explain(err))
	}
	return s, nil
}

// missing returns the error for a stream or a bucket that does not exist.
func (q Queue) missing(kind, name string) *MissingError {
	return &MissingError{Kind: kind, Name: name, URL: q.Conn.ConnectedUrlRedacted()}
}

// Explain returns why a call failed with err: NATS denies a call without an answer, and reports the permission violation apart
// from it.
func (q Queue) Explain(err error) error {
	unanswered := errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded)
	if denied := q.Conn.LastError(); unanswered && errors.Is(denied, nats.ErrPermissionViolation) {
		return denied
	}
	return err
}
