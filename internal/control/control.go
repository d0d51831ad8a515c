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
	"sync"
	"time"

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
