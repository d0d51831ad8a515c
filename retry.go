package capstan

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// callTimeout bounds one call. A login without the permission for a call gets no answer.
	callTimeout = 5 * time.Second

	// firstPause and longestPause are the shortest and the longest time between two attempts.
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second

	// maxUnheard is how many attempts in a row may meet no JetStream: a few seconds, as long as a server starts.
	maxUnheard = 6
)

// retry repeats a call until it is answered: through an outage, a restart of the server and the election of a leader. It
// returns the first error that another attempt would not change, and else ctx's error with that of the last attempt.
func retry[T any](ctx context.Context, nc *nats.Conn, call func(context.Context) (T, error)) (T, error) {
	unheard := 0
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		result, err := attempt(ctx, nc, call)
		if err == nil || isFinal(err) {
			return result, err
		}
		unheard++
		if !errors.Is(err, nats.ErrNoResponders) {
			unheard = 0
		}
		if unheard == maxUnheard {
			return result, fmt.Errorf("no JetStream at %s: is it enabled there, and is its domain the one of jetstream.NewWithDomain? (%w)", nc.ConnectedUrlRedacted(), err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return result, fmt.Errorf("%w (last attempt: %w)", ctx.Err(), err)
		}
	}
}

// attempt makes one call. If it gets no answer because of a missing permission, that is its error: the server reports it
// to the connection, and not to the call.
func attempt[T any](ctx context.Context, nc *nats.Conn, call func(context.Context) (T, error)) (T, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	before := nc.LastError()
	result, err := call(asking)
	denied := nc.LastError()
	if err != nil && errors.Is(denied, nats.ErrPermissionViolation) && !errors.Is(denied, before) {
		return result, denied
	}
	return result, err
}

// isFinal reports whether another attempt would fail as well.
func isFinal(err error) bool {
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok {
		return refused.Code != 503 // JetStream is not available for now
	}
	for _, final := range []error{
		nats.ErrConnectionClosed, nats.ErrPermissionViolation, nats.ErrMaxPayload, nats.ErrBadSubject,
		jetstream.ErrNoStreamResponse, jetstream.ErrInvalidStreamName,
	} {
		if errors.Is(err, final) {
			return true
		}
	}
	return false
}
