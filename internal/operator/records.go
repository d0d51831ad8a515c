package operator

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// records is the bucket of records, as of the last read.
type records struct {
	tail *tail
	ttl  time.Duration
	keep func(task.Record) bool // nil keeps all
	all  map[string]task.Record // by task id
}

// newRecords returns the records that keep wants; nil keeps all. It reads nothing yet.
func (q Queue) newRecords(keep func(task.Record) bool) *records {
	bucket := q.Config.Tracker.Bucket
	return &records{
		tail: q.newTail(jet.BucketStream(bucket), jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{jet.BucketSubject(bucket, ">")}, DeliverPolicy: jetstream.DeliverAllPolicy,
		}),
		ttl: q.Config.Tracker.TTL, keep: keep, all: map[string]task.Record{},
	}
}

// refresh reads what was written since the last time. now is the server's time: records that have expired since are
// dropped, for the bucket says nothing of that.
func (r *records) refresh(ctx context.Context, now time.Time) error {
	err := r.readWrites(ctx)
	if isMissing(err) {
		return &MissingError{Kind: "bucket", Name: r.tail.q.Config.Tracker.Bucket, URL: r.tail.q.Conn.ConnectedUrlRedacted()}
	}
	for id, rec := range r.all {
		if rec.State.Ended() && now.Sub(rec.UpdatedAt) > r.ttl {
			delete(r.all, id)
		}
	}
	return err
}

// readWrites reads until nothing new is found. A record that is written while others are read moves to the end of the
// stream, and the server may report the end a moment before it counts that.
func (r *records) readWrites(ctx context.Context) error {
	const mostReads = 10
	prefix := jet.BucketSubject(r.tail.q.Config.Tracker.Bucket, "")
	for range mostReads {
		before := r.tail.last
		err := r.tail.read(ctx, func() { clear(r.all) }, func(msg jetstream.Msg) error {
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
func (r *records) note(key string, msg jetstream.Msg) {
	if strings.HasPrefix(key, task.DeliveriesPrefix) {
		return
	}
	rec, err := task.ParseRecord(msg.Data())
	if isDeleted(msg) || err != nil || rec.TaskID != key || r.keep != nil && !r.keep(rec) {
		delete(r.all, key)
		return
	}
	rec.Unknown = ""
	r.all[key] = rec
}
