package jet

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
)

// Bounds of the wait between two tries.
const (
	firstWait   = 50 * time.Millisecond
	longestWait = time.Second
)

// Retry tries a call until it gets an answer and returns it. What ends it without one: ctx, an error marked
// with Final, and the closing of the connection, which is how a worker that has to go cuts off what is
// under way. A try that timed out may have happened: the caller makes it one that may be repeated.
func Retry[T any](ctx context.Context, c *Call, try func(context.Context) (T, error)) (T, error) {
	began := time.Now()
	c.open.Inc()
	defer func() {
		c.open.Dec()
		c.seconds.Observe(time.Since(began).Seconds())
	}()
	answer, err := once(ctx, c, try)
	if err == nil { // nearly always
		return answer, nil
	}
	fresh := true
	next := func() (T, error) {
		if !fresh {
			return once(ctx, c, try)
		}
		fresh = false
		return answer, err
	}
	notify := func(err error, wait time.Duration) {
		c.retries.Inc()
		c.log.Warn().Err(err).Str("call", c.name).Stringer("wait", wait).Msg("tried NATS again")
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = firstWait, longestWait
	return backoff.Retry(ctx, next, backoff.WithBackOff(waits), backoff.WithNotify(notify), backoff.WithMaxElapsedTime(0))
}

// once makes one try.
func once[T any](ctx context.Context, c *Call, try func(context.Context) (T, error)) (answer T, err error) {
	if err := c.places.Acquire(ctx, 1); err != nil {
		return answer, err
	}
	defer c.places.Release(1)
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	answer, err = try(ctx)
	if errors.Is(err, nats.ErrConnectionClosed) {
		err = backoff.Permanent(err)
	}
	return answer, err
}

// Final marks an error as an answer: Retry returns it, unmarked, and tries no more.
func Final(err error) error { return backoff.Permanent(err) }
