// Package send publishes many messages at once, until each is confirmed: the requests of batches and of redriven tasks, and the
// marks that cancel tasks.
package send

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/operator"
)

// Bounds of sending.
const (
	// window is how many messages may wait for their confirmation.
	window = 256

	// timeout bounds the wait for one confirmation.
	timeout = 5 * time.Second

	// patience is for how long a message that was not confirmed is sent again.
	patience = 30 * time.Second
)

// Source returns a message by its number. It may wait, and its error ends the sending.
type Source func(ctx context.Context, i int) (*nats.Msg, error)

// Done is called when a message is confirmed, and never twice at once. It may be nil.
type Done func(i int, ack *jetstream.PubAck)

// All publishes n messages about in their order. It returns when all are confirmed, or with the first error that does not pass,
// or when ctx ends. The fates say what is then known of each message.
func All(ctx context.Context, q operator.Queue, n int, message Source, done Done) (Fates, error) {
	s := &sender{q: q, message: message, done: done, fates: make(Fates, n)}
	err := s.send(ctx, n)
	return s.fates, err
}

// sender publishes messages, with a window of those that are not confirmed yet.
type sender struct {
	q       operator.Queue
	message Source
	done    Done

	mu        sync.Mutex  // held while done is called
	fates     Fates       // by the message; each is written by one goroutine
	confirmed atomic.Bool // a message was
}

// send publishes the messages in many goroutines.
func (s *sender) send(ctx context.Context, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(window, n) {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := s.sendOne(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// messageError is why there is no message to publish. It says nothing about the stream.
type messageError struct{ error }

// Unwrap returns the reason.
func (e messageError) Unwrap() error { return e.error }

// sendOne publishes a message until it is confirmed. A copy of a message that was stored before is a duplicate.
func (s *sender) sendOne(ctx context.Context, i int) error {
	msg, err := s.message(ctx, i)
	if err != nil {
		return messageError{err}
	}
	tried := false
	ack, err := backoff.Retry(ctx, func() (*jetstream.PubAck, error) {
		s.fates[i] = Unknown
		ack, err := s.publish(ctx, msg)
		if err != nil && !tried && isRefusal(err) {
			s.fates[i] = Refused
		}
		tried = true
		return ack, err
	}, backoff.WithMaxElapsedTime(patience), backoff.WithBackOff(retryWaits()))
	if err != nil {
		return err
	}
	s.confirmed.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fates[i] = Stored; ack.Duplicate {
		s.fates[i] = Duplicate
	}
	if s.done != nil {
		s.done(i, ack)
	}
	return nil
}

// publish publishes a message once. An error that will not pass is marked as permanent.
func (s *sender) publish(ctx context.Context, msg *nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ack, err := s.q.JS.PublishMsg(ctx, msg)
	if err == nil {
		return ack, nil
	}
	switch {
	case isDenial(s.q.Explain(err), msg.Subject):
		return nil, backoff.Permanent(fmt.Errorf("missing permission to publish to %s", msg.Subject))
	case errors.Is(err, jetstream.ErrNoStreamResponse) && s.confirmed.Load(): // it was there: its leader is away
		return nil, err
	case isRefusal(err), errors.Is(err, nats.ErrConnectionClosed):
		return nil, backoff.Permanent(err)
	}
	return nil, err
}

// isDenial reports whether an error says that the login may not use a subject.
func isDenial(err error, subject string) bool {
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), subject)
}

// retryWaits returns the waits before a message is sent again.
func retryWaits() backoff.BackOff {
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = 50*time.Millisecond, 2*time.Second
	return waits
}

// isRefusal reports whether an error says for certain that a message is not stored, and that it will not be when it is
// sent again: no stream listens, it is too large, or the stream is full or of another kind.
func isRefusal(err error) bool {
	if jet.IsRefusal(err) {
		return !jet.IsUnavailable(err) || jet.IsFull(err) // no leader, or no answer from it, passes
	}
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrMaxPayload)
}
