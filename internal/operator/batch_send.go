package operator

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
)

// Bounds of sending.
const (
	// sendWindow is how many messages may wait for their confirmation.
	sendWindow = 256

	// sendTimeout bounds the wait for one confirmation.
	sendTimeout = 5 * time.Second

	// sendPatience is for how long a message that was not confirmed is sent again.
	sendPatience = 30 * time.Second
)

// fate is what is known of a message.
type fate int32

const (
	notSent   fate = iota
	unknown        // it was sent, and no answer came
	refused        // the stream did not take it
	stored         // the stream has stored it
	duplicate      // the stream had it already
)

// sender publishes messages, with a window of those that are not confirmed yet.
type sender struct {
	q        Queue
	message  func(ctx context.Context, i int) (*nats.Msg, error) // may wait; its errors end the sending
	done     func(i int, ack *jetstream.PubAck)
	patience time.Duration

	mu        sync.Mutex  // held while done is called
	fates     []fate      // by the message; each is written by one goroutine
	confirmed atomic.Bool // a message was
}

// send publishes n messages about in their order. It returns when all are confirmed, or with the first error that does
// not pass, or when ctx ends; fates says then what is known of each.
func (s *sender) send(ctx context.Context, n int) error {
	s.fates = make([]fate, n)
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range min(sendWindow, n) {
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
		s.fates[i] = unknown
		ack, err := s.publish(ctx, msg)
		if err != nil && !tried && isRefusal(err) {
			s.fates[i] = refused
		}
		tried = true
		return ack, err
	}, backoff.WithMaxElapsedTime(s.patience), backoff.WithBackOff(retryWaits()))
	if err != nil {
		return err
	}
	s.confirmed.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fates[i] = stored; ack.Duplicate {
		s.fates[i] = duplicate
	}
	s.done(i, ack)
	return nil
}

// publish publishes a message once. An error that will not pass is marked as permanent.
func (s *sender) publish(ctx context.Context, msg *nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	ack, err := s.q.JS.PublishMsg(ctx, msg)
	if err == nil {
		return ack, nil
	}
	switch {
	case isDenial(s.q.explain(err), msg.Subject):
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

// streamIsFull is the server's error code for a message that would exceed a limit of the stream.
const streamIsFull jetstream.ErrorCode = 10077

// isRefusal reports whether an error says for certain that a message is not stored, and that it will not be when it is
// sent again: no stream listens, it is too large, or the stream is full or of another kind.
func isRefusal(err error) bool {
	if refusal, ok := errors.AsType[*jetstream.APIError](err); ok {
		return refusal.Code != 503 || refusal.ErrorCode == streamIsFull // no leader, or no answer from it, passes
	}
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrMaxPayload)
}

// count returns how many messages have this fate.
func (s *sender) count(f fate) (n int) {
	for _, each := range s.fates {
		if each == f {
			n++
		}
	}
	return n
}
