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

// The fates. The zero fate is notSent.
const (
	notSent   fate = iota
	unknown        // it was sent, and no answer came
	refused        // the stream did not take it
	stored         // the stream has stored it
	duplicate      // the stream had it already
)

// fates are what is known of some messages.
type fates []fate

// Counts says how far some requests have come into the queue.
type Counts struct {
	All     int
	Before  int // were there before
	Stored  int // were stored by this command
	Unknown int // were sent without an answer: each may be stored or not
	Unsent  int // were not sent, or refused
}

// counts counts the messages by their fate. Only what is confirmed counts as stored.
func (all fates) counts() Counts {
	c := Counts{All: len(all)}
	for _, f := range all {
		switch f {
		case duplicate:
			c.Before++
		case stored:
			c.Stored++
		case unknown:
			c.Unknown++
		default:
			c.Unsent++
		}
	}
	return c
}

// sendAll publishes n messages about in their order. It returns when all are confirmed, or with the first error that does
// not pass, or when ctx ends, and what is then known of each.
//
// message returns a message by its number. It may wait, and its error ends the sending. done, which may be nil, is called when
// a message is confirmed, and never twice at once.
func (q Queue) sendAll(ctx context.Context, n int, message func(ctx context.Context, i int) (*nats.Msg, error), done func(i int, ack *jetstream.PubAck)) (fates, error) {
	s := &sender{q: q, message: message, done: done, fates: make(fates, n)}
	err := s.send(ctx, n)
	return s.fates, err
}

// sendRequests is like sendAll, for requests. The error is in words for people.
func (q Queue) sendRequests(ctx context.Context, n int, message func(ctx context.Context, i int) (*nats.Msg, error), done func(i int, ack *jetstream.PubAck)) (fates, error) {
	all, err := q.sendAll(ctx, n, message, done)
	subject, url := q.Config.Request.Subject, q.Conn.ConnectedUrlRedacted()
	refusal, isRefused := errors.AsType[*jetstream.APIError](err)
	_, hasNoMessage := errors.AsType[messageError](err)
	switch {
	case err == nil, errors.Is(err, context.Canceled), hasNoMessage:
		return all, err
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return all, fmt.Errorf("no stream listens on %s at %s; start a worker first, it creates the streams", subject, url)
	case isRefused:
		return all, fmt.Errorf("%s refuses the requests: %s (%d)", url, refusal.Description, refusal.ErrorCode)
	default:
		return all, fmt.Errorf("publish to %s: %w", subject, err)
	}
}

// sender publishes messages, with a window of those that are not confirmed yet.
type sender struct {
	q       Queue
	message func(ctx context.Context, i int) (*nats.Msg, error)
	done    func(i int, ack *jetstream.PubAck)

	mu        sync.Mutex  // held while done is called
	fates     fates       // by the message; each is written by one goroutine
	confirmed atomic.Bool // a message was
}

// send publishes the messages in many goroutines.
func (s *sender) send(ctx context.Context, n int) error {
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
	}, backoff.WithMaxElapsedTime(sendPatience), backoff.WithBackOff(retryWaits()))
	if err != nil {
		return err
	}
	s.confirmed.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fates[i] = stored; ack.Duplicate {
		s.fates[i] = duplicate
	}
	if s.done != nil {
		s.done(i, ack)
	}
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
