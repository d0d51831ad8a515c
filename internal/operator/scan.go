package operator

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
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

// stream finds a stream, which stands for a bucket if kind says so. The error is a *MissingError if there is none.
func (q Queue) stream(ctx context.Context, kind, name, stream string) (jetstream.Stream, error) {
	s, err := q.JS.Stream(ctx, stream)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, &MissingError{Kind: kind, Name: name, URL: q.Conn.ConnectedUrlRedacted()}
	case err != nil:
		return nil, fmt.Errorf("find %s %s: %w", kind, name, q.explain(err))
	}
	return s, nil
}

// explain adds to a call that was not answered that NATS has denied one: NATS reports that apart from the call.
func (q Queue) explain(err error) error {
	unanswered := errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded)
	if denied := q.Conn.LastError(); unanswered && errors.Is(denied, nats.ErrPermissionViolation) {
		return denied
	}
	return err
}

// pullBytes is how much of a stream is asked for at once. It is more than a message can have.
const pullBytes = 32 << 20

// isAtEnd reports whether there is nothing left for a consumer.
func isAtEnd(ctx context.Context, consumer jetstream.Consumer) bool {
	info, err := consumer.Info(ctx)
	return err == nil && info.NumPending == 0
}

// isDeleted reports whether a message of a bucket is a delete marker.
func isDeleted(msg jetstream.Msg) bool {
	return jet.IsDeleted(&jetstream.RawStreamMsg{Header: msg.Headers()})
}
