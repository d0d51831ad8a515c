package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// Steering is what operators ask of tasks.
type Steering interface {
	// Canceled reports whether the task or its batch is canceled, and why.
	Canceled(ctx context.Context, taskID, batch string) (task.Cancellation, bool)
	// Until returns a context that ends with ctx, or as soon as the task or its batch is canceled: then its cause is
	// task.ErrCanceled. The caller calls stop once nothing waits for it any more, or to end it with another cause.
	Until(ctx context.Context, taskID, batch string) (_ context.Context, stop context.CancelCauseFunc)
}

// unsteered is the Steering of a worker whose operators cannot ask for anything.
type unsteered struct{}

func (unsteered) Canceled(context.Context, string, string) (task.Cancellation, bool) {
	return task.Cancellation{}, false
}

func (unsteered) Until(ctx context.Context, _, _ string) (context.Context, context.CancelCauseFunc) {
	return context.WithCancelCause(ctx)
}

// canceled reports whether the task is canceled, and why.
func (r *run) canceled(ctx context.Context) (task.Cancellation, bool) {
	return r.Steering.Canceled(ctx, r.req.TaskID, r.req.Batch)
}

// untilCanceled returns a context that also ends when the task is canceled.
func (r *run) untilCanceled(ctx context.Context) (_ context.Context, stop context.CancelCauseFunc) {
	return r.Steering.Until(ctx, r.req.TaskID, r.req.Batch)
}

// rest returns nil after d or as soon as the task is canceled, or ctx's error if that ends first.
func (r *run) rest(ctx context.Context, d time.Duration) error {
	waitCtx, stop := r.untilCanceled(ctx)
	defer stop(nil)
	if err := timer.Sleep(waitCtx, d, nil); err != nil && !isCanceled(waitCtx) {
		return err
	}
	return nil
}

// isCanceled reports whether a context has ended because the task was canceled.
func isCanceled(ctx context.Context) bool { return errors.Is(context.Cause(ctx), task.ErrCanceled) }
