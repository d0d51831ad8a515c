package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/capstan-worker/capstan/internal/jet"
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

// find returns what NATS has of these tasks. A bucket that does not exist has no records.
func (q Queue) find(ctx context.Context, ids map[string]bool) (*tasks, error) {
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
		if _, hasRecord := found.records[r.taskID]; ids[r.taskID] && !hasRecord {
			found.keep(r)
		}
	})
	return found, err
}

// keep notes a request, unless an earlier one with its id is there: a worker takes the later one for a copy.
func (t *tasks) keep(r queuedRequest) {
	if first, ok := t.queued[r.taskID]; !ok || r.seq < first.seq {
		t.queued[r.taskID] = r
	}
}

// findRecords reads the records of these tasks.
func (q Queue) findRecords(ctx context.Context, ids map[string]bool, found *tasks) error {
	if len(ids) > singleReads {
		return q.records(ctx, func(id string, _ []byte) bool { return ids[id] }, func(rec task.Record) { found.records[rec.TaskID] = rec })
	}
	s, err := q.stream(ctx, "bucket", q.Config.Tracker.Bucket, q.Config.Tracker.Stream())
	if err != nil {
		return err
	}
	all := make(chan task.Record, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(queueReaders)
	for id := range ids {
		group.Go(func() error {
			msg, err := s.GetLastMsgForSubject(ctx, q.Config.Tracker.Subject(id))
			if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && jet.IsDeleted(msg) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read record of task %s: %w", id, q.explain(err))
			}
			rec, err := task.ParseRecord(msg.Data)
			if err == nil {
				all <- rec
			}
			return err
		})
	}
	err = group.Wait()
	close(all)
	for rec := range all {
		found.records[rec.TaskID] = rec
	}
	return err
}
