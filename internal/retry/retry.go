// Package retry repeats a call to NATS until it is answered: an outage delays what a worker has to
// store, and never drops it.
package retry

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// Bounds of the wait between two calls.
const (
	firstWait   = 50 * time.Millisecond
	longestWait = time.Second
)

// How long one call may take: a Quick one is a single message each way, a Slow one carries a large
// result. A connection that breaks leaves a call without an answer, so that this is also how long a
// worker needs to notice.
const (
	Quick = 2 * time.Second
	Slow  = time.Minute
)

// Until calls, for no longer than timeout each time, until it gets an answer and returns it. What ends it without one: ctx, an error marked
// with Final, and the closing of the connection, which is how a worker that has to go cuts off what is
// under way. A call that timed out may have happened: the caller makes it one that may be repeated.
//
// The log is told of each further call; give it a Quiet one.
func Until[T any](ctx context.Context, log zerolog.Logger, what string, timeout time.Duration,
	call func(context.Context) (T, error),
) (T, error) {
	once := func() (T, error) {
		callCtx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		answer, err := call(callCtx)
		if errors.Is(err, nats.ErrConnectionClosed) {
			err = backoff.Permanent(err)
		}
		return answer, err
	}
	notify := func(err error, wait time.Duration) {
		log.Warn().Err(err).Str("call", what).Stringer("wait", wait).Msg("tried NATS again")
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = firstWait, longestWait
	return backoff.Retry(ctx, once, backoff.WithBackOff(waits), backoff.WithNotify(notify), backoff.WithMaxElapsedTime(0))
}

// Final marks an error as an answer: Until returns it, unmarked, and calls no more.
func Final(err error) error { return backoff.Permanent(err) }

// Quiet returns a logger for Until that lets one line in ten seconds through, so that an outage that
// meets thousands of tasks is a line and not thousands.
func Quiet(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: 1, Period: 10 * time.Second})
}
