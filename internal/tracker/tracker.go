// Package tracker stores the record of each task in a JetStream KV bucket. Each write is a compare-and-set on the
// revision that was read before. If two workers write the same record, one of them loses and drops the task.
package tracker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// Batcher publishes to streams. Each call has a bound of its own.
type Batcher interface {
	Publish(ctx context.Context, msg *nats.Msg) (jet.PubAck, error)
}

// Tracker reads and writes records. Its calls are retried during an outage of NATS: they return when the
// server has answered, when ctx ends, or when the connection is closed. Many goroutines may use it at once.
type Tracker struct {
	batcher Batcher
	stream  jetstream.Stream
	domain  string // the JetStream domain of the bucket in the settings; "" for the server's own
	cfg     Config
	clock   *servertime.Clock
	read    *jet.Call
	save    *jet.Call

	creation creation
	// The greatest revision that the bucket is known to have had. Create lowers it after the bucket was
	// recreated.
	newest atomic.Uint64
}

// Stream returns the name of the stream behind the bucket (NATS ADR-8).
func (c Config) Stream() string { return jet.BucketStream(c.Bucket) }

// Subject returns the subject under which the bucket stores a key, and by which it is read (NATS ADR-8).
func (c Config) Subject(key string) string { return jet.BucketSubject(c.Bucket, key) }

// New returns a tracker on the stream behind the bucket, which is in this JetStream domain by NATS_JS_DOMAIN, or in the
// server's own if that is "". AllowDirect of the stream must be off, so that its leader answers reads: a replica could
// answer with a record that is older than the last write. The clock is the server's; nil: this machine's.
func New(batcher Batcher, stream jetstream.Stream, domain string, cfg Config, clock *servertime.Clock, reg prometheus.Registerer, log zerolog.Logger) *Tracker {
	return &Tracker{
		batcher: batcher, stream: stream, domain: domain, cfg: cfg, clock: clock,
		read: jet.NewCall("read_record", jet.Quick, reg, log),
		save: jet.NewCall("write_record", 0, reg, log),
	}
}

// Create writes the first record of a task and returns it with its revision. If the task has a record, it returns
// task.ErrRecordExists. If the bucket turns out to be another one than before, it removes the record again and returns
// task.ErrBucketRecreated: the task may have had a record in the bucket before.
func (t *Tracker) Create(ctx context.Context, rec task.Record) (task.Record, error) {
	rec.Revision = 0
	// It is read before the write, because the writes of other goroutines raise it.
	newest := t.newest.Load()
	rec, err := t.write(ctx, rec)
	switch {
	case errors.Is(err, task.ErrNotOwner):
		return rec, fmt.Errorf("create record of task %s: %w", rec.TaskID, task.ErrRecordExists)
	// Revisions only grow, unless the bucket was recreated and they start over.
	case err == nil && rec.Revision <= newest:
		t.newest.CompareAndSwap(newest, rec.Revision)
		t.forgetCreation()
		return rec, errors.Join(task.ErrBucketRecreated, t.remove(ctx, rec))
	default:
		return rec, err
	}
}

// remove puts a delete marker over a record that was just written.
func (t *Tracker) remove(ctx context.Context, rec task.Record) error {
	msg := t.newMessage(rec.TaskID, nil, nats.Header{
		"KV-Operation":                      {"DEL"},
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(rec.Revision, 10)},
	})
	_, err := jet.Retry(ctx, t.save, func(ctx context.Context) (jet.PubAck, error) {
		ack, err := t.batcher.Publish(ctx, msg)
		if jet.IsConflict(err) {
			// It is removed already, or another worker has written over it.
			return ack, nil
		}
		return ack, err
	})
	if err != nil {
		return fmt.Errorf("remove record of task %s: %w", rec.TaskID, err)
	}
	return nil
}

// Save writes a record over the revision that it carries and returns it with the new one. If another worker has written
// the record since, it returns task.ErrNotOwner.
//
// If the bucket has no record of the task, or an earlier one of the same run, it returns task.ErrRecordLost: the bucket
// was recreated, or NATS lost its last writes. The returned record then carries the revision to write over: saving it
// writes the lost record again.
//
// A finished record expires after Config.TTL.
func (t *Tracker) Save(ctx context.Context, rec task.Record) (task.Record, error) {
	return t.write(ctx, rec)
}

// Get returns the record of a task, or task.ErrNoRecord.
func (t *Tracker) Get(ctx context.Context, taskID string) (task.Record, error) {
	msg, err := jet.Retry(ctx, t.read, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		msg, err := t.last(ctx, taskID)
		if errors.Is(err, jetstream.ErrMsgNotFound) || (err == nil && jet.IsDeleted(msg)) {
			return nil, jet.Final(task.ErrNoRecord)
		}
		return msg, err
	})
	if err != nil {
		return task.Record{}, fmt.Errorf("read record of task %s: %w", taskID, err)
	}
	rec, err := task.ParseRecord(msg.Data)
	if err != nil {
		return task.Record{}, fmt.Errorf("read record of task %s: %w", taskID, err)
	}
	rec.Revision = msg.Sequence
	return rec, nil
}

// write publishes the record under the condition that its revision is the subject's last. A call that timed out may have
// stored the record, so that the server refuses the retry because of our own write. So reconcile checks the stored
// message after each refusal.
func (t *Tracker) write(ctx context.Context, rec task.Record) (task.Record, error) {
	rec.UpdatedAt = t.clock.Now().UTC()
	value := rec.JSON()
	revision, err := jet.Retry(ctx, t.save, func(ctx context.Context) (uint64, error) {
		ack, err := t.batcher.Publish(ctx, t.message(rec, value))
		if err == nil || !jet.IsConflict(err) {
			return ack.Sequence, err
		}
		return t.reconcile(ctx, &rec, value)
	})
	if err != nil {
		return rec, fmt.Errorf("write record of task %s: %w", rec.TaskID, err)
	}
	rec.Revision = revision
	t.observe(revision)
	return rec, nil
}

// observe notes the newest revision that the bucket is known to have had. Revisions may arrive in any
// order.
func (t *Tracker) observe(revision uint64) {
	for {
		newest := t.newest.Load()
		if revision <= newest || t.newest.CompareAndSwap(newest, revision) {
			return
		}
	}
}

// message returns the message that writes a record, only over the record's revision. Once the task has
// ended, the server deletes the record after Config.TTL (NATS ADR-43).
func (t *Tracker) message(rec task.Record, value []byte) *nats.Msg {
	header := nats.Header{jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(rec.Revision, 10)}}
	if rec.State.Ended() {
		header[jetstream.MsgTTLHeader] = []string{t.cfg.TTL.String()}
	}
	return t.newMessage(rec.TaskID, value, header)
}

// newMessage returns a message that writes a key of the bucket. Only the bucket's own stream may store it: the server
// refuses it for a stream of another name.
func (t *Tracker) newMessage(key string, value []byte, header nats.Header) *nats.Msg {
	header[jetstream.ExpectedStreamHeader] = []string{t.cfg.Stream()}
	return &nats.Msg{Subject: jet.BucketWriteSubject(t.domain, t.cfg.Bucket, key), Header: header, Data: value}
}

// reconcile decides by the stored message why the server refused a write. It returns the revision if the write had
// happened, an error that is retried, or a final one.
func (t *Tracker) reconcile(ctx context.Context, rec *task.Record, value []byte) (uint64, error) {
	msg, err := t.last(ctx, rec.TaskID)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound) && rec.Revision == 0:
		// The message that was in the way of the new record has expired: the retry will succeed.
		return 0, err
	case errors.Is(err, jetstream.ErrMsgNotFound):
		// The bucket has lost our record.
		rec.Revision = 0
		return 0, jet.Final(task.ErrRecordLost)
	case err != nil:
		// NATS does not answer.
		return 0, err
	case bytes.Equal(msg.Data, value):
		// It holds our own bytes: the write had happened.
		return msg.Sequence, nil
	case msg.Sequence == rec.Revision:
		// It is the revision to write over. Another write was under way in the cluster, and may have failed.
		return 0, errors.New("write raced with another, retrying")
	case rec.Revision == 0 && jet.IsDeleted(msg):
		// It is a delete marker: the retry creates the record over it.
		rec.Revision = msg.Sequence
		return 0, errors.New("key has a delete marker, retrying over it")
	case rec.Revision != 0 && (jet.IsDeleted(msg) || precedes(msg, *rec)):
		// It is a delete marker, or an earlier record of this run: the bucket has lost ours.
		rec.Revision = msg.Sequence
		return 0, jet.Final(task.ErrRecordLost)
	default:
		// Another worker owns the task.
		return 0, jet.Final(task.ErrNotOwner)
	}
}

// precedes reports whether a message holds an earlier record of the same run.
func precedes(msg *jetstream.RawStreamMsg, rec task.Record) bool {
	found, err := task.ParseRecord(msg.Data)
	return err == nil && found.Precedes(rec)
}

// last returns the newest message of a key, which may be a delete marker.
func (t *Tracker) last(ctx context.Context, key string) (*jetstream.RawStreamMsg, error) {
	return t.stream.GetLastMsgForSubject(ctx, t.cfg.Subject(key))
}
