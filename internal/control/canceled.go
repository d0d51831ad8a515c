package control

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// patience is how long Canceled waits for a bucket that does not answer, such as one whose cluster elects a leader: from
// the start of a worker, and again each time that the bucket has answered. After that, tasks go on without it.
const patience = 15 * time.Second

// Canceled reports whether a task or its batch is canceled, and why. batch may be empty. It waits for the first look at
// the bucket, as Await does, and for an answer of the bucket if that must be asked, for 15 s at most. It returns false if
// ctx ends first.
func (s *Steering) Canceled(ctx context.Context, taskID, batch string) (task.Cancellation, bool) {
	if s.Await(ctx) != nil {
		return task.Cancellation{}, false
	}
	for {
		c, found, err := s.search(ctx, taskID, batch)
		if found || !s.isWorthWaiting(err) || timer.Sleep(ctx, askPause, nil) != nil {
			return c, found
		}
	}
}

// Await blocks until the bucket was read once or cannot be used, for no longer than 15 s after Run began. It returns ctx's
// error if that ends first.
func (s *Steering) Await(ctx context.Context) error {
	select {
	case <-s.looked:
		return nil
	default:
		return timer.Sleep(ctx, s.patient, s.looked)
	}
}

// isWorthWaiting reports whether a search with this result is to be repeated: the bucket may answer soon.
func (s *Steering) isWorthWaiting(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil || !isSilence(err) {
		s.silent = time.Time{}
		return false
	}
	if s.silent.IsZero() {
		s.silent = time.Now()
	}
	return time.Since(s.silent) < s.patient
}

// search looks for a mark: among those that are known, and in the bucket if not all are known. The error is why the bucket
// could not be asked.
func (s *Steering) search(ctx context.Context, taskID, batch string) (_ task.Cancellation, found bool, _ error) {
	reconnects := s.reconnects()
	s.mu.Lock()
	now := s.clock.Now()
	c, found, certain := s.marks.find(now, taskID, batch)
	certain = certain && (!s.known || s.knownAt == reconnects)
	if !found && s.next != nil {
		next, inNext, certainOfNext := s.next.find(now, taskID, batch)
		c, found, certain = next, inNext, certain && certainOfNext
	}
	s.mu.Unlock()
	if found || certain {
		return c, found, nil
	}
	keys := []string{CancelPrefix + taskID}
	if batch != "" {
		keys = append(keys, CancelBatchPrefix+batch)
	}
	for _, key := range keys {
		msg, err := s.ask(ctx, key)
		if err != nil {
			return task.Cancellation{}, false, err
		}
		if msg == nil {
			continue
		}
		if c, valid := s.parseMark(msg); valid {
			return c.Cancellation, true, nil
		}
	}
	return task.Cancellation{}, false, nil
}

// askPause is for how long the bucket is not asked again after it did not answer.
const askPause = time.Second

// ask reads a key from the bucket. Unlike after a failure of the bucket's own calls, the time until the next try does not
// grow: a cluster that had no leader for a moment must not hide a cancellation for half a minute.
func (s *Steering) ask(ctx context.Context, key string) (msg *jetstream.RawStreamMsg, err error) {
	s.mu.Lock()
	stream, failed := s.stream, s.askFailed
	s.mu.Unlock()
	switch {
	case stream == nil:
		return s.bucket.message(ctx, key)
	case time.Since(failed) < askPause:
		return nil, errUnusable
	}
	err = s.bucket.callAside(ctx, watching, func(ctx context.Context) (err error) {
		msg, err = s.bucket.last(ctx, stream, key)
		return err
	})
	if err != nil && ctx.Err() == nil {
		s.mu.Lock()
		s.askFailed = time.Now()
		s.mu.Unlock()
	}
	return msg, err
}
