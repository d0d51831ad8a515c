package pipeline

import (
	"context"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// noteInterval is the time between two looks at what a task waits for.
	noteInterval = 5 * time.Second

	// sameUntil is by how much the end of a wait may move before it is written again.
	sameUntil = time.Minute
)

// awaitSlot waits until the task may be submitted: until its retry is due, and then for a slot. Into the record it writes
// what the task waits for, whenever that has changed. The error is task.ErrCanceled, ctx's, or that of a write.
func (r *run) awaitSlot(ctx context.Context, rec *task.Record) (*task.Record, error) {
	ctx, stop := r.untilCanceled(ctx)
	defer stop()
	r.noteReason(rec.WaitsFor, rec.WaitsUntil)
	if r.awaitRetry(ctx, rec) != nil {
		return rec, context.Cause(ctx)
	}
	slotCtx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	acquired := make(chan error, 1)
	go func() { acquired <- r.acquireSlot(slotCtx, rec.Run, 0) }()
	ticker := time.NewTicker(noteInterval)
	defer ticker.Stop()
	for {
		select {
		case err := <-acquired:
			if err != nil && ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return rec, err
		case <-ticker.C:
			noted, err := r.noteWait(ctx, rec)
			if err != nil {
				giveUp()
				<-acquired // it may have come at the last moment; the caller releases it
				return rec, err
			}
			rec = noted
		}
	}
}

// noteWait writes into the record what the task waits for, if that has changed.
func (r *run) noteWait(ctx context.Context, rec *task.Record) (*task.Record, error) {
	next := *rec
	next.WaitsFor, next.WaitsUntil = r.Admission.Waits()
	r.noteReason(next.WaitsFor, next.WaitsUntil)
	moved := next.WaitsUntil.Sub(rec.WaitsUntil).Abs()
	if next.WaitsFor == rec.WaitsFor && moved <= sameUntil {
		return rec, nil
	}
	return r.save(ctx, next)
}
