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
	acquired, giveUp := r.acquireBeside(ctx, rec.Run)
	defer giveUp()
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
				return rec, err
			}
			rec = noted
		}
	}
}

// acquireBeside acquires a slot in a goroutine of its own, and sends the result. giveUp ends that and waits for it: then the
// run may have a slot nevertheless, which the caller releases.
func (r *run) acquireBeside(ctx context.Context, run int) (acquired <-chan error, giveUp func()) {
	ctx, cancel := context.WithCancel(ctx)
	results, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		results <- r.acquireSlot(ctx, run, 0)
	}()
	return results, func() {
		cancel()
		<-over
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
