// Package control is the bucket task_control: by it the workers tell each other what they have learned.
//
// Nothing in it is needed to run tasks. If it is missing, full, or another application's, or if the login may not use
// it, workers go on without it.
package control

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
)

// Config names the bucket.
type Config struct {
	Bucket string `split_words:"true" default:"task_control" desc:"KV bucket in which the workers share what they learn"`
}

// Stream returns the name of the stream behind the bucket (NATS ADR-8).
func (c Config) Stream() string { return "KV_" + c.Bucket }

// Subject returns the subject that stores a key of the bucket (NATS ADR-8).
func (c Config) Subject(key string) string { return "$KV." + c.Bucket + "." + key }

// Bucket reads and writes values, with one attempt each. Many goroutines may use it at once.
type Bucket struct {
	js     jetstream.JetStream
	cfg    Config
	ttl    time.Duration
	usable func() bool

	mu     sync.Mutex
	opened jetstream.KeyValue // nil: not opened yet, or the last call failed; guarded by mu
}

// New returns a Bucket, and makes no call to NATS. A value expires a ttl after it was last written. While usable returns
// false, all calls fail at once: the bucket may be another application's.
func New(js jetstream.JetStream, cfg Config, ttl time.Duration, usable func() bool) *Bucket {
	return &Bucket{js: js, cfg: cfg, ttl: ttl, usable: usable}
}

// errUnusable is why a call was not made.
var errUnusable = errors.New("the bucket cannot be used")

// callTimeout bounds one call: a login that lacks the permission gets no answer.
const callTimeout = 2 * time.Second

// Get returns the value of a key and its revision, or nil and the revision 0 if there is none.
func (b *Bucket) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	err = b.call(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		entry, err := kv.Get(ctx, key)
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil
		}
		if err == nil {
			value, revision = entry.Value(), entry.Revision()
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read %s of bucket %s: %w", key, b.cfg.Bucket, err)
	}
	return value, revision, nil
}

// Put writes a value over the revision that it was derived from; 0: there is none. The error is task.ErrConflict if the
// key has another revision by now.
func (b *Bucket) Put(ctx context.Context, key string, value []byte, revision uint64) error {
	err := b.call(ctx, func(ctx context.Context, kv jetstream.KeyValue) error {
		if revision == 0 {
			// It also replaces the mark of a deleted value.
			_, err := kv.Create(ctx, key, value, jetstream.KeyTTL(b.ttl))
			return err
		}
		// KeyValue.Update cannot set the time to live.
		msg := &nats.Msg{Subject: b.cfg.Subject(key), Data: value}
		_, err := b.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(revision), jetstream.WithMsgTTL(b.ttl))
		return err
	})
	const wrongLastSequence = jetstream.ErrorCode(10071)
	refusal, ok := errors.AsType[*jetstream.APIError](err)
	if errors.Is(err, jetstream.ErrKeyExists) || ok && refusal.ErrorCode == wrongLastSequence {
		err = task.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("write %s of bucket %s: %w", key, b.cfg.Bucket, err)
	}
	return nil
}

// call makes one call with a bound of its own. The bucket is opened before the first call, and again after one that
// failed: it may have been missing, or recreated with other settings.
func (b *Bucket) call(ctx context.Context, f func(context.Context, jetstream.KeyValue) error) (err error) {
	if !b.usable() {
		return errUnusable
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	b.mu.Lock()
	kv := b.opened
	b.mu.Unlock()
	if kv == nil {
		if kv, err = b.js.KeyValue(ctx, b.cfg.Bucket); err != nil {
			return fmt.Errorf("open: %w", err)
		}
	}
	if err = f(ctx, kv); err != nil {
		kv = nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened = kv
	return err
}
