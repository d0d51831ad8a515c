// Package control reads and writes the bucket task_control, in which workers share what they have learned, and operators say
// what to cancel and when to pause.
//
// Nothing in it is needed to run tasks. If it is missing, full, or another application's, or if the login may not use
// it, workers continue without it. So its state is no part of a worker's readiness, and nothing waits for it for long.
//
// A [Bucket] reads and writes single values. A [Steering] watches what operators ask.
package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// Config names the bucket.
type Config struct {
	Bucket string `split_words:"true" default:"task_control" desc:"KV bucket in which the workers share what they learn, and by which operators pause and cancel"`
}

// The keys by which operators steer the workers.
const (
	CancelPrefix      = "cancel."       // and a task id: ends the task; see task.ParseCancellation
	CancelBatchPrefix = "cancel-batch." // and a batch: ends its tasks
	PauseKey          = "pause"         // submits nothing; see task.ParsePause
)

// Access says how a worker uses the bucket.
type Access struct {
	JetStream func() jetstream.JetStream // in the domain of the settings; called once there is something to read or write
	Domain    string                     // NATS_JS_DOMAIN; "" is the server's own
	Create    bool                       // the bucket if it is missing (NATS_PROVISION)
	Replicas  int                        // of a bucket that is created (NATS_REPLICAS)
	TTL       time.Duration              // a value expires so long after it was last written
}

// Bucket reads and writes values, with one attempt each. Many goroutines may use it at once.
type Bucket struct {
	Access
	cfg Config
	log zerolog.Logger

	// opening has one place, which is taken while the bucket is being opened: the callers that come meanwhile share the
	// result.
	opening chan struct{}

	mu       sync.Mutex
	stream   jetstream.Stream // behind the bucket; nil: it was not opened yet, or the last call failed; guarded by mu
	failures [3]failures      // by use; guarded by mu
	denied   [3]chan struct{} // by kind of call: is closed when NATS denies one, and replaced; guarded by mu
}

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

// New returns a Bucket, and makes no call to NATS.
func New(cfg Config, access Access, log zerolog.Logger) *Bucket {
	b := &Bucket{
		Access: access, cfg: cfg, log: log, opening: make(chan struct{}, 1),
	}
	for u := range b.failures {
		b.failures[u].retry = timer.Growing(firstRetry, lastRetry)
	}
	for kind := range b.denied {
		b.denied[kind] = make(chan struct{})
	}
	return b
}

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

// Get returns the value of a key and its revision, or nil and the revision 0 if there is none.
func (b *Bucket) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	msg, err := b.message(ctx, key)
	if err != nil || msg == nil || jet.IsDeleted(msg) {
		return nil, 0, err
	}
	return msg.Data, msg.Sequence, nil
}

// message returns the last message of a key, which can be a delete marker, or nil if it has none.
func (b *Bucket) message(ctx context.Context, key string) (msg *jetstream.RawStreamMsg, err error) {
	err = b.call(ctx, reading, func(ctx context.Context, stream jetstream.Stream) (err error) {
		msg, err = b.last(ctx, stream, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s of bucket %s: %w", key, b.cfg.Bucket, err)
	}
	return msg, nil
}

// Put writes a value over the revision that it was derived from; 0: there is none. The error is task.ErrConflict if the
// key has another revision by now.
func (b *Bucket) Put(ctx context.Context, key string, value []byte, revision uint64) error {
	err := b.call(ctx, writing, func(ctx context.Context, stream jetstream.Stream) error {
		err := b.publish(ctx, key, value, revision)
		if revision != 0 || !errors.Is(err, task.ErrConflict) {
			return err
		}
		// The key may have the mark of a deleted value, which counts as none.
		msg, readErr := b.last(ctx, stream, key)
		if readErr != nil || msg == nil || !jet.IsDeleted(msg) {
			return errors.Join(err, readErr)
		}
		return b.publish(ctx, key, value, msg.Sequence)
	})
	if err != nil {
		return fmt.Errorf("write %s of bucket %s: %w", key, b.cfg.Bucket, err)
	}
	return nil
}

// publish stores a value if the key has this revision, or else returns task.ErrConflict. Only the bucket's own stream may
// store it.
func (b *Bucket) publish(ctx context.Context, key string, value []byte, revision uint64) error {
	msg := &nats.Msg{Subject: jet.BucketWriteSubject(b.Domain, b.cfg.Bucket, key), Data: value}
	_, err := b.JetStream().PublishMsg(ctx, msg, jetstream.WithExpectStream(b.cfg.Stream()),
		jetstream.WithExpectLastSequencePerSubject(revision), jetstream.WithMsgTTL(b.TTL))
	if jet.IsConflict(err) {
		return task.ErrConflict
	}
	return err
}

// last returns the last message of a key, or nil if it has none. The bucket's leader answers, as direct reads are off.
func (b *Bucket) last(ctx context.Context, stream jetstream.Stream, key string) (*jetstream.RawStreamMsg, error) {
	msg, err := stream.GetLastMsgForSubject(ctx, jet.BucketSubject(b.cfg.Bucket, key))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	return msg, err
}

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
