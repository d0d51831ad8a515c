package operator

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/capstan-worker/capstan/internal/task"
)

// tasks is what NATS has of some tasks.
type tasks struct {
	records map[string]task.Record   // by task id
	queued  map[string]queuedRequest // those without a record, by task id
	now     time.Time                // by the clock of the server
}

// singleReads is up to how many records are read one by one. Beyond that, reading all of them is faster.
const singleReads = 200

// tasksOf returns what NATS has of these tasks. A bucket that does not exist has no records.
func (q Queue) tasksOf(ctx context.Context, ids map[string]bool) (*tasks, error) {
	found := &tasks{records: map[string]task.Record{}, queued: map[string]queuedRequest{}}
	err := q.findRecords(ctx, ids, found)
	if missing, ok := errors.AsType[*MissingError](err); ok && missing.Kind == "bucket" {
		err = nil
	}
	if err != nil || len(found.records) == len(ids) {
		found.now = time.Now()
		return found, err
	}
	found.now, err = q.queued(ctx, func(r queuedRequest) {
		if _, hasRecord := found.records[r.TaskID]; ids[r.TaskID] && !hasRecord {
			found.keep(r)
		}
	})
	return found, err
}

// keep notes a request, unless an earlier one with its id is there: a worker takes the later one for a copy.
func (t *tasks) keep(r queuedRequest) {
	if first, ok := t.queued[r.TaskID]; !ok || r.seq < first.seq {
		t.queued[r.TaskID] = r
	}
}

// recordsThat returns the records that a filter keeps, by task id.
func (q Queue) recordsThat(ctx context.Context, keep func(task.Record) bool) (map[string]task.Record, error) {
	all := q.newRecords(keep)
	err := all.refresh(ctx, time.Time{}) // it has just been read, so what has expired is gone
	return all.all, err
}

// findRecords reads the records of these tasks.
func (q Queue) findRecords(ctx context.Context, ids map[string]bool, found *tasks) error {
	if len(ids) > singleReads {
		var err error
		found.records, err = q.recordsThat(ctx, func(rec task.Record) bool { return ids[rec.TaskID] })
		return err
	}
	all := make(chan task.Record, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(queueReaders)
	for id := range ids {
		group.Go(func() error {
			rec, err := q.record(ctx, id)
			if err == nil && rec != nil {
				all <- *rec
			}
			return err
		})
	}
	err := group.Wait()
	close(all)
	for rec := range all {
		found.records[rec.TaskID] = rec
	}
	return err
}
