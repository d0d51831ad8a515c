package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// The functions of this file return the record as it is in the bucket. Nobody changes it: a step forward is a changed
// copy, which is written.

// create writes the first record of the task.
func (r *run) create(ctx context.Context, first task.Record) (*task.Record, error) {
	rec, err := r.Tracker.Create(context.WithoutCancel(ctx), first)
	if err == nil {
		r.saved = time.Now()
		r.stepForward(ctx)
	}
	return &rec, err
}

// save writes the record of a task that this run owns. Where the bucket has lost it, the living holder writes it again:
// another worker would find no record and run the task a second time.
func (r *run) save(ctx context.Context, next task.Record) (*task.Record, error) {
	ctx = context.WithoutCancel(ctx)
	rec, err := r.Tracker.Save(ctx, next)
	if errors.Is(err, task.ErrRecordLost) && !r.req.Delivery.LostLease() {
		r.log.Warn().Str("task", rec.TaskID).Str("workflow", rec.WorkflowID).Msg("record was lost, written again")
		rec, err = r.Tracker.Save(ctx, rec)
	}
	if errors.Is(err, task.ErrRecordLost) {
		err = task.ErrNotOwner
	}
	if err == nil {
		r.saved = time.Now()
	}
	return &rec, err
}

// advance writes a record that says that the task has come a step further.
func (r *run) advance(ctx context.Context, next task.Record) (*task.Record, error) {
	rec, err := r.save(ctx, next)
	if err == nil {
		r.stepForward(ctx)
	}
	return rec, err
}

// certainFor is how long a record is taken for unchanged since it was written. A worker whose host was
// suspended does not know that its lease has expired, but the calendar has moved on.
const certainFor = 10 * time.Minute

// confirm checks that the task is still this run's, where there is reason to doubt it.
func (r *run) confirm(ctx context.Context, rec *task.Record) (*task.Record, error) {
	if !r.req.Delivery.LostLease() && time.Now().Round(0).Sub(r.saved.Round(0)) < certainFor {
		return rec, nil
	}
	return r.restore(ctx, rec)
}

// restore checks that the bucket holds the record as this run wrote it, and writes it again where it was lost.
func (r *run) restore(ctx context.Context, rec *task.Record) (*task.Record, error) {
	found, err := r.Tracker.Get(ctx, rec.TaskID)
	switch {
	case err == nil && found.Revision == rec.Revision && (found.Owner != rec.Owner || found.Epoch != rec.Epoch):
		return rec, task.ErrNotOwner // the bucket was recreated, and counts its revisions from 1 again
	case err == nil && found.Revision == rec.Revision:
		return rec, nil
	case err != nil && !errors.Is(err, task.ErrNoRecord):
		return rec, err
	default:
		return r.save(ctx, *rec)
	}
}
