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
// what the task waits for, whenever that has changed. A record that says more than that the task waits is written again if
// the bucket has lost it. The error is task.ErrCanceled, ctx's, or that of a write.
func (r *run) awaitSlot(ctx context.Context, rec *task.Record) (*task.Record, error) {
	ctx, stop := r.untilCanceled(ctx)
	defer stop(nil)
	r.noteReason(rec.WaitsFor, rec.WaitsUntil)
	acquired, giveUp := r.acquireBeside(ctx, rec)
	defer giveUp()
	lost := r.lost.Load()
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
			var err error
			if now := r.lost.Load(); now != lost && (rec.Run > 0 || rec.UnknownOnce()) {
				lost = now
				rec, err = r.restore(ctx, rec)
			}
			if err == nil {
				rec, err = r.noteWait(ctx, rec)
			}
			if err != nil {
				return rec, err
			}
		}
	}
}

// acquireBeside waits for the retry and for a slot in a goroutine of its own, and sends the result. giveUp ends that and waits
// for it: then the run may have a slot nevertheless, which the caller releases.
func (r *run) acquireBeside(ctx context.Context, rec *task.Record) (acquired <-chan error, giveUp func()) {
	ctx, cancel := context.WithCancel(ctx)
	results, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		err := r.awaitRetry(ctx, rec)
		if err == nil {
			err = r.acquireSlot(ctx, rec.Run, 0)
		}
		results <- err
	}()
	return results, func() {
		cancel()
		<-over
	}
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
