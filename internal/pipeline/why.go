package pipeline

import (
	"context"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// sameUntil is by how much the end of a wait may move before it is written again.
const sameUntil = time.Minute

// awaitSlot waits until the task may be submitted: until its retry is due, and then for a slot. Into the record it writes
// what the task waits for, whenever that has changed. A record that says more than that the task waits is written again if
// the bucket has lost it. The error is task.ErrCanceled, ctx's, or that of a write.
func (r *run) awaitSlot(ctx context.Context, rec *task.Record) (*task.Record, error) {
	waitCtx, stop := r.untilCanceled(ctx)
	defer stop(nil)
	r.noteReason(rec.WaitsFor, rec.WaitsUntil)
	look := func() (err error) {
		if r.mayBeLost() && (rec.Run > 0 || rec.UnknownOnce()) {
			rec, err = r.restore(waitCtx, rec)
		}
		if err == nil {
			rec, err = r.noteWait(waitCtx, rec)
		}
		return err
	}
	err := r.awaitRetry(waitCtx, rec, look)
	if err == nil {
		err = r.acquireSlot(waitCtx, rec.Run, 0, look)
	}
	if err != nil && waitCtx.Err() != nil {
		err = context.Cause(waitCtx)
	}
	return rec, err
}

// noteWait writes into the record what the task waits for, if that has changed. A retry that is not due waits for itself.
func (r *run) noteWait(ctx context.Context, rec *task.Record) (*task.Record, error) {
	if rec.WaitsFor == task.ForRetry && r.cfg.Clock.Now().Before(rec.WaitsUntil) {
		return rec, nil
	}
	reason, until := r.Admission.Waits()
	r.noteReason(reason, until)
	if reason == rec.WaitsFor && until.Sub(rec.WaitsUntil).Abs() <= sameUntil {
		return rec, nil
	}
	rec, err := r.confirm(ctx, rec) // the last look may be long ago
	if err != nil {
		return rec, err
	}
	next := *rec
	next.WaitsFor, next.WaitsUntil = reason, until
	return r.save(ctx, next)
}
