// Package tracker keeps the record of each task in a JetStream KV bucket. Every write is compared with
// the revision that was read before, so that two workers can never both believe that a task is theirs.
package tracker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// Batcher publishes to streams; each call has a bound of its own.
type Batcher interface {
	Publish(ctx context.Context, msg *nats.Msg) (jet.PubAck, error)
}

// Tracker reads and writes records. Its calls wait out an outage of NATS: they return when the server
// has answered, when ctx ends, or when the connection is closed.
type Tracker struct {
	batcher Batcher
	stream  jetstream.Stream
	cfg     Config
	read    *jet.Call
	save    *jet.Call

	creation creation
	newest   atomic.Uint64 // revision that the bucket is known to have had
}

// Stream is the name of the stream behind a bucket (ADR-8).
func (c Config) Stream() string { return "KV_" + c.Bucket }

// Subject is where the bucket keeps a key (ADR-8).
func (c Config) Subject(key string) string { return "$KV." + c.Bucket + "." + key }

// New returns a tracker on the stream behind the bucket. The stream answers reads from its leader
// (AllowDirect off), or a read may be older than the write before it.
func New(o Batcher, stream jetstream.Stream, cfg Config, reg prometheus.Registerer, log zerolog.Logger) *Tracker {
	return &Tracker{
		batcher: o, stream: stream, cfg: cfg,
		read: jet.NewCall("read_record", jet.Quick, reg, log),
		save: jet.NewCall("write_record", 0, reg, log),
	}
}

// Create writes the first record of a task and returns it with its revision. Where there is one
// already the error is task.ErrRecordExists. Where the bucket turns out to be another one than before, the record is
// removed again, and the error is task.ErrBucketRecreated: the task may have had a record in the bucket before.
func (t *Tracker) Create(ctx context.Context, rec task.Record) (task.Record, error) {
	rec.Revision = 0
	newest := t.newest.Load()
	rec, err := t.write(ctx, rec)
	switch {
	case errors.Is(err, task.ErrNotOwner):
		return rec, fmt.Errorf("create record of task %s: %w", rec.TaskID, task.ErrRecordExists)
	case err == nil && rec.Revision <= newest: // revisions only grow, unless they start over
		t.newest.CompareAndSwap(newest, rec.Revision)
		t.forgetCreation()
		return rec, errors.Join(task.ErrBucketRecreated, t.remove(ctx, rec))
	default:
		return rec, err
	}
}

// remove puts a delete marker in the place of a record that was just written.
func (t *Tracker) remove(ctx context.Context, rec task.Record) error {
	msg := &nats.Msg{Subject: t.cfg.Subject(rec.TaskID), Header: nats.Header{
		"KV-Operation":                      {"DEL"},
		jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(rec.Revision, 10)},
	}}
	_, err := jet.Retry(ctx, t.save, func(ctx context.Context) (jet.PubAck, error) {
		ack, err := t.batcher.Publish(ctx, msg)
		if refused(err) { // it is removed already, or another worker has written over it
			return ack, nil
		}
		return ack, err
	})
	if err != nil {
		return fmt.Errorf("remove record of task %s: %w", rec.TaskID, err)
	}
	return nil
}

// Save writes a record over the revision it carries and returns it with the new one. Where the bucket
// holds another revision by now the error is task.ErrNotOwner. Where that is an earlier record of the same run, or
// there is none, the error is task.ErrRecordLost: the bucket was recreated, or NATS lost its last writes. The record
// that is returned then carries the revision to write over. A record that has ended expires after the configured
// time.
func (t *Tracker) Save(ctx context.Context, rec task.Record) (task.Record, error) {
	return t.write(ctx, rec)
}

// Get returns the record of a task, or task.ErrNoRecord.
func (t *Tracker) Get(ctx context.Context, taskID string) (task.Record, error) {
	msg, err := jet.Retry(ctx, t.read, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		msg, err := t.last(ctx, taskID)
		if errors.Is(err, jetstream.ErrMsgNotFound) || (err == nil && deleted(msg)) {
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

// write publishes the record under the condition that its revision is the subject's last. A call that
// timed out may have stored it, so that the next is refused by our own write: a refusal counts only
// after a look at what is stored.
func (t *Tracker) write(ctx context.Context, rec task.Record) (task.Record, error) {
	rec.UpdatedAt = time.Now().UTC()
	value := rec.JSON()
	revision, err := jet.Retry(ctx, t.save, func(ctx context.Context) (uint64, error) {
		receipt, err := t.batcher.Publish(ctx, t.message(rec, value))
		if err == nil || !refused(err) {
			return receipt.Sequence, err
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

// observe notes the newest revision that the bucket is known to have had.
func (t *Tracker) observe(revision uint64) {
	for {
		newest := t.newest.Load()
		if revision <= newest || t.newest.CompareAndSwap(newest, revision) {
			return
		}
	}
}

// message is the record as the bucket's stream takes it: only over the record's revision.
func (t *Tracker) message(rec task.Record, value []byte) *nats.Msg {
	header := nats.Header{jetstream.ExpectedLastSubjSeqHeader: {strconv.FormatUint(rec.Revision, 10)}}
	if rec.State.Ended() {
		header[jetstream.MsgTTLHeader] = []string{t.cfg.TTL.String()}
	}
	return &nats.Msg{Subject: t.cfg.Subject(rec.TaskID), Header: header, Data: value}
}

// reconcile decides by the stored message why a write was refused:
//
//   - It holds our own bytes: the write had happened.
//   - It is a delete marker, and the record is to be created: the next try writes over the marker.
//   - It has the very revision that the write was to go over: another write was under way in the cluster, and may
//     have come to nothing. The next try decides.
//   - There is none, or it is a delete marker or an earlier record of this run: the bucket has lost ours.
//   - It holds anything else: another worker owns the task.
func (t *Tracker) reconcile(ctx context.Context, rec *task.Record, value []byte) (uint64, error) {
	msg, err := t.last(ctx, rec.TaskID)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound) && rec.Revision == 0:
		return 0, err // expired since: try again
	case errors.Is(err, jetstream.ErrMsgNotFound):
		rec.Revision = 0
		return 0, jet.Final(task.ErrRecordLost)
	case err != nil:
		return 0, err
	case bytes.Equal(msg.Data, value):
		return msg.Sequence, nil
	case msg.Sequence == rec.Revision:
		return 0, errors.New("write raced with another, retrying")
	case rec.Revision == 0 && deleted(msg):
		rec.Revision = msg.Sequence
		return 0, errors.New("key has a delete marker, retrying over it")
	case rec.Revision != 0 && (deleted(msg) || precedes(msg, *rec)):
		rec.Revision = msg.Sequence
		return 0, jet.Final(task.ErrRecordLost)
	default:
		return 0, jet.Final(task.ErrNotOwner)
	}
}

// precedes reports whether a message holds an earlier record of the same run.
func precedes(msg *jetstream.RawStreamMsg, rec task.Record) bool {
	found, err := task.ParseRecord(msg.Data)
	return err == nil && found.Precedes(rec)
}

// last returns the newest message of a key, a deletion's mark included.
func (t *Tracker) last(ctx context.Context, taskID string) (*jetstream.RawStreamMsg, error) {
	return t.stream.GetLastMsgForSubject(ctx, t.cfg.Subject(taskID))
}

// deleted reports whether a message is the mark that a delete or a purge of a key leaves (ADR-8), or that
// the server leaves in place of an expired one where the stream has SubjectDeleteMarkerTTL.
func deleted(msg *jetstream.RawStreamMsg) bool {
	return msg.Header.Get("KV-Operation") != "" || msg.Header.Get(jetstream.MarkerReasonHeader) != ""
}

// refused reports whether the server answered that the expected revision is not the last. A replicated
// stream has a code of its own for that.
func refused(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
			api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}
