package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// Records is the bucket of records, as of the last read.
type Records struct {
	All map[string]task.Record // by task id

	q    Queue
	tail *Tail
	keep func(task.Record) bool // nil keeps all
}

// Records returns the records that keep wants; nil keeps all. It reads nothing yet.
func (q Queue) Records(keep func(task.Record) bool) *Records {
	bucket := q.Config.Tracker.Bucket
	return &Records{
		All: map[string]task.Record{},
		q:   q,
		tail: q.Tail(jet.BucketStream(bucket), jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{jet.BucketSubject(bucket, ">")}, DeliverPolicy: jetstream.DeliverAllPolicy,
		}),
		keep: keep,
	}
}

// Refresh reads what was written since the last time. now is the server's time: records that have expired since are
// dropped, for the bucket says nothing of that. The error is a *MissingError if there is no bucket.
func (r *Records) Refresh(ctx context.Context, now time.Time) error {
	err := r.readWrites(ctx)
	if IsMissing(err) {
		return r.q.missing(bucketKind, r.q.Config.Tracker.Bucket)
	}
	for id, rec := range r.All {
		if rec.State.Ended() && now.Sub(rec.UpdatedAt) > r.q.Config.Tracker.TTL {
			delete(r.All, id)
		}
	}
	return err
}

// readWrites reads until nothing new is found. A record that is written while others are read moves to the end of the
// stream, and the server may report the end a moment before it counts that.
func (r *Records) readWrites(ctx context.Context) error {
	const mostReads = 10
	prefix := jet.BucketSubject(r.q.Config.Tracker.Bucket, "")
	for range mostReads {
		before := r.tail.last
		err := r.tail.Read(ctx, func() { clear(r.All) }, func(msg jetstream.Msg) error {
			r.note(strings.TrimPrefix(msg.Subject(), prefix), msg)
			return nil
		})
		if err != nil || r.tail.last == before {
			return err
		}
	}
	return nil
}

// note takes the newest value of a key. What is no record is left out: a count of deliveries, a delete marker, and what no
// worker of this version can have written.
func (r *Records) note(key string, msg jetstream.Msg) {
	if strings.HasPrefix(key, task.DeliveriesPrefix) {
		return
	}
	rec, err := task.ParseRecord(msg.Data())
	if isDeleted(msg) || err != nil || rec.TaskID != key || r.keep != nil && !r.keep(rec) {
		delete(r.All, key)
		return
	}
	rec.Unknown = ""
	r.All[key] = rec
}

// isDeleted reports whether a message of a bucket is a delete marker.
func isDeleted(msg jetstream.Msg) bool {
	return jet.IsDeleted(&jetstream.RawStreamMsg{Header: msg.Headers()})
}

// RecordsThat returns the records that a filter keeps, by task id. The error is a *MissingError if there is no bucket.
func (q Queue) RecordsThat(ctx context.Context, keep func(task.Record) bool) (map[string]task.Record, error) {
	all := q.Records(keep)
	err := all.Refresh(ctx, time.Time{}) // it has just been read, so what has expired is gone
	return all.All, err
}

// Record reads the record of a task, or returns nil if there is none. The error is a *MissingError if there is no bucket.
func (q Queue) Record(ctx context.Context, id string) (*task.Record, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := q.Config.Tracker.Bucket
	stream, err := q.bucketStream(asking, name)
	if err != nil {
		return nil, err
	}
	msg, err := stream.GetLastMsgForSubject(asking, jet.BucketSubject(name, id))
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && jet.IsDeleted(msg) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read record of task %s: %w", id, q.Explain(err))
	}
	rec, err := task.ParseRecord(msg.Data)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", id, err)
	}
	return &rec, nil
}
