package operator

import (
	"context"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// BatchMarks are the batches whose tasks are canceled, as of the last read.
type BatchMarks struct {
	q      Queue
	tail   *Tail
	prefix string               // of the subjects
	all    map[string]batchMark // by batch
}

// batchMark is the cancellation of a batch.
type batchMark struct {
	task.Cancellation
	expires time.Time
}

// BatchMarks returns the marks of batches. It reads nothing yet.
func (q Queue) BatchMarks() *BatchMarks {
	prefix := jet.BucketSubject(q.Config.Control.Bucket, control.CancelBatchPrefix)
	tail := q.Tail(q.Config.Control.Stream(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{prefix + ">"}})
	return &BatchMarks{q: q, tail: tail, prefix: prefix, all: map[string]batchMark{}}
}

// Refresh reads the marks that were written since the last time, and returns those that hold, by batch. A bucket that does not
// exist has none. It is an error if the bucket is another application's.
func (b *BatchMarks) Refresh(ctx context.Context) (map[string]task.Cancellation, error) {
	stream, err := b.q.ControlStream(ctx)
	if IsMissing(err) {
		*b = *b.q.BatchMarks()
		return map[string]task.Cancellation{}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := b.tail.Read(ctx, func() { clear(b.all) }, b.note); err != nil {
		return nil, err
	}
	holding, now := map[string]task.Cancellation{}, stream.CachedInfo().TimeStamp
	for batch, mark := range b.all {
		if !now.Before(mark.expires) { // NATS says nothing of that
			delete(b.all, batch)
			continue
		}
		holding[batch] = mark.Cancellation
	}
	return holding, nil
}

// note takes the newest value of a key.
func (b *BatchMarks) note(msg jetstream.Msg) error {
	batch := strings.TrimPrefix(msg.Subject(), b.prefix)
	meta, err := msg.Metadata()
	if isDeleted(msg) || err != nil {
		delete(b.all, batch)
		return err
	}
	lasts := control.Lifetime(msg.Headers(), b.q.Config.Tracker.TTL)
	b.all[batch] = batchMark{task.ParseCancellation(msg.Data()), meta.Timestamp.Add(lasts)}
	return nil
}
