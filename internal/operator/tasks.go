package operator

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/capstan-worker/capstan/internal/task"
)

// Tasks is what NATS has of some tasks.
type Tasks struct {
	Records map[string]task.Record // by task id
	Queued  map[string]Request     // those without a record, by task id
	Now     time.Time              // by the clock of the server
}

// singleReads is up to how many records are read one by one. Beyond that, reading all of them is faster.
const singleReads = 200

// TasksOf returns what NATS has of these tasks. A bucket that does not exist has no records.
func (q Queue) TasksOf(ctx context.Context, ids map[string]bool) (*Tasks, error) {
	found := &Tasks{Records: map[string]task.Record{}, Queued: map[string]Request{}}
	err := q.findRecords(ctx, ids, found)
	if missing, ok := errors.AsType[*MissingError](err); ok && missing.Kind == bucketKind {
		err = nil
	}
	if err != nil {
		return found, err
	}
	if len(found.Records) == len(ids) {
		found.Now = q.now(ctx)
		return found, nil
	}
	found.Now, err = q.Requests(ctx, func(r Request) {
		if _, hasRecord := found.Records[r.TaskID]; ids[r.TaskID] && !hasRecord {
			found.keep(r)
		}
	})
	return found, err
}

// now returns the server's time, or this machine's if the stream of requests does not tell it.
func (q Queue) now(ctx context.Context) time.Time {
	stream, err := q.Stream(ctx, q.Config.Request.Stream)
	if err != nil || stream.CachedInfo().TimeStamp.IsZero() {
		return time.Now()
	}
	return stream.CachedInfo().TimeStamp
}

// TasksOfBatch returns what NATS has of the tasks of a batch.
func (q Queue) TasksOfBatch(ctx context.Context, batch string) (*Tasks, error) {
	found := &Tasks{Queued: map[string]Request{}}
	var err error
	found.Records, err = q.RecordsThat(ctx, func(rec task.Record) bool { return rec.Batch == batch })
	if err != nil && !IsMissing(err) {
		return nil, err
	}
	found.Now, err = q.Requests(ctx, func(r Request) {
		if _, hasRecord := found.Records[r.TaskID]; r.Batch == batch && !hasRecord {
			found.keep(r)
		}
	})
	return found, err
}

// keep notes a request, unless an earlier one with its id is there: a worker takes the later one for a copy.
func (t *Tasks) keep(r Request) {
	if first, ok := t.Queued[r.TaskID]; !ok || r.Seq < first.Seq {
		t.Queued[r.TaskID] = r
	}
}

// findRecords reads the records of these tasks.
func (q Queue) findRecords(ctx context.Context, ids map[string]bool, found *Tasks) error {
	if len(ids) > singleReads {
		var err error
		found.Records, err = q.RecordsThat(ctx, func(rec task.Record) bool { return ids[rec.TaskID] })
		return err
	}
	all := make(chan task.Record, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(queueReaders)
	for id := range ids {
		group.Go(func() error {
			rec, err := q.Record(ctx, id)
			if err == nil && rec != nil {
				all <- *rec
			}
			return err
		})
	}
	err := group.Wait()
	close(all)
	for rec := range all {
		found.Records[rec.TaskID] = rec
	}
	return err
}
