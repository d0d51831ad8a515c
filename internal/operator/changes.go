package operator

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// RecordChanges reads the bucket of records: first all of it, and then what has changed.
type RecordChanges struct {
	q    Queue
	tail *Tail
}

// RecordChanges returns the changes of all records, from the beginning. It reads nothing yet.
func (q Queue) RecordChanges() *RecordChanges {
	bucket := q.Config.Tracker.Bucket
	return &RecordChanges{q, q.Tail(jet.BucketStream(bucket), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{jet.BucketSubject(bucket, ">")}, DeliverPolicy: jetstream.DeliverAllPolicy,
	})}
}

// Read calls note with each record that was written since the last call, and with nil for a key that has none any more. If
// the bucket was recreated since then, it first calls restart, and begins anew. A record that expires is not noted. The error
// is a *MissingError if there is no bucket.
//
// It reads until nothing new is found. A record that is written while others are read moves to the end of the stream, and
// the server may report the end a moment before it counts that.
func (c *RecordChanges) Read(ctx context.Context, restart func(), note func(id string, rec *task.Record)) error {
	const mostReads = 10
	bucket := c.q.Config.Tracker.Bucket
	prefix := jet.BucketSubject(bucket, "")
	for range mostReads {
		before := c.tail.last
		err := c.tail.Read(ctx, restart, func(msg jetstream.Msg) error {
			if key := strings.TrimPrefix(msg.Subject(), prefix); !strings.HasPrefix(key, task.DeliveriesPrefix) {
				note(key, recordIn(key, msg))
			}
			return nil
		})
		if IsMissing(err) {
			return c.q.missing(bucketKind, bucket)
		}
		if err != nil || c.tail.last == before {
			return err
		}
	}
	return nil
}

// recordIn returns the record in the newest value of a key. It returns nil for a delete marker, and for what no worker can
// have written.
func recordIn(key string, msg jetstream.Msg) *task.Record {
	rec, err := parseRecord(msg.Data())
	if isDeleted(msg) || err != nil || rec.TaskID != key {
		return nil
	}
	rec.Unknown = ""
	return &rec
}

// isDeleted reports whether a message of a bucket is a delete marker.
func isDeleted(msg jetstream.Msg) bool {
	return jet.IsDeleted(&jetstream.RawStreamMsg{Header: msg.Headers()})
}
