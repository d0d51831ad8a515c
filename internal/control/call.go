package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// callTimeout bounds one call.
const callTimeout = 2 * time.Second

var (
	// errUnusable is why a call was not made.
	errUnusable = errors.New("the bucket could not be used a moment ago")

	// errDenied and errNoAnswer end a call. They tell that from the end of the caller's context, which says nothing about
	// the bucket.
	errDenied   = errors.New("missing permission")
	errNoAnswer = fmt.Errorf("no answer for %v", callTimeout)
)

// use is what a call does with the bucket. A login may be allowed one and not another, and a full bucket can be read.
type use int

const (
	opening use = iota // which the others need
	reading
	writing
)

// failures are those of one use since it last succeeded.
type failures struct {
	retry  *backoff.ExponentialBackOff // between two in a row
	shut   time.Time                   // until when calls fail at once, because one failed
	reason string                      // why, as it was logged last
}

// callKind is a kind of call that NATS may deny apart from the others.
type callKind int

const (
	sharing  callKind = iota // all that reading and writing values needs
	watching                 // a consumer of the bucket
	updating                 // a change of its configuration
)

// call makes one call with a bound of its own, on the opened bucket. After a failure all calls of that use return errUnusable
// for a while, so that not each caller waits for the answer that does not come: for firstRetry, and twice as long after each
// failure in a row, up to lastRetry. The next call opens the bucket again: it may have been created meanwhile, or have
// other settings.
func (b *Bucket) call(ctx context.Context, u use, f func(context.Context, jetstream.Stream) error) error {
	ctx, end := b.bounded(ctx, sharing)
	defer end()
	if b.isShut(u) {
		return errUnusable
	}
	stream, err := b.open(ctx)
	if err != nil {
		return err
	}
	return b.noted(ctx, u, f(ctx, stream))
}

// callAside makes calls of a kind that not all callers need. A failure is not remembered: it says nothing about the other
// kinds.
func (b *Bucket) callAside(ctx context.Context, kind callKind, f func(context.Context) error) error {
	ctx, end := b.bounded(ctx, kind)
	defer end()
	err := f(ctx)
	if cause := context.Cause(ctx); err != nil && (errors.Is(cause, errDenied) || errors.Is(cause, errNoAnswer)) {
		return cause
	}
	return err
}

// bounded returns the context of a call. It ends after callTimeout, because of errNoAnswer, and because of errDenied if
// NATS denies a call of this kind, or one that all callers need.
func (b *Bucket) bounded(ctx context.Context, kind callKind) (_ context.Context, end func()) {
	shared, denied := b.deniedNext(sharing), b.deniedNext(kind)
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, errNoAnswer)
	ctx, endWith := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-shared:
			endWith(errDenied)
		case <-denied:
			endWith(errDenied)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		endWith(nil)
		cancel()
	}
}

// deniedNext returns a channel that is closed when NATS denies a call of this kind.
func (b *Bucket) deniedNext(kind callKind) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.denied[kind]
}

// Note takes an error that NATS reported. A call that is denied gets no answer, so Note ends those that wait for one.
func (b *Bucket) Note(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	text := err.Error()
	if !strings.Contains(text, b.cfg.Stream()) && !strings.Contains(text, jet.BucketSubject(b.cfg.Bucket, "")) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kind := sharing
	switch {
	case strings.Contains(text, "API.CONSUMER."):
		kind = watching
	case strings.Contains(text, "API.STREAM.UPDATE."):
		kind = updating
	}
	close(b.denied[kind])
	b.denied[kind] = make(chan struct{})
}

// noted takes the result of a call with this context and returns it, in clearer words if there was no answer. A failure is
// remembered, and logged if it is another one than before.
func (b *Bucket) noted(ctx context.Context, u use, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, cause := &b.failures[u], context.Cause(ctx)
	switch {
	case err == nil, errors.Is(err, task.ErrConflict):
		f.reason = ""
		f.retry.Reset()
		return err
	case errors.Is(cause, errDenied), errors.Is(cause, errNoAnswer):
		err = cause
	case ctx.Err() != nil: // the caller gave up
		return err
	}
	b.stream = nil
	if now := time.Now(); now.After(f.shut) { // calls that fail together count once
		f.shut = now.Add(f.retry.NextBackOff())
	}
	if reason := err.Error(); reason != f.reason {
		f.reason = reason
		b.log.Warn().Err(err).Str("bucket", b.cfg.Bucket).Msg("control bucket unusable, worker goes on without it")
	}
	return err
}

// isShut reports whether calls of this use fail at once, because one has failed.
func (b *Bucket) isShut(u use) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Before(b.failures[u].shut)
}

// opened returns the stream of the bucket if it is open, or nil. The error is errUnusable for a while after it could not be
// opened.
func (b *Bucket) opened() (jetstream.Stream, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stream == nil && time.Now().Before(b.failures[opening].shut) {
		return nil, errUnusable
	}
	return b.stream, nil
}
