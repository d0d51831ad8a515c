package pipeline

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/contain"
	"github.com/capstan-worker/capstan/internal/task"
)

// poll waits for the workflow's end and then calls next. Most of a task's life is spent waiting, and there are
// thousands of them: nothing is kept meanwhile but the run and a timer.
func (r *run) poll(ctx context.Context, next func(error)) {
	r.enterStep(stepPoll)
	ctx, end := r.beginSpan(ctx, "wait", trace.SpanKindInternal)
	go func() {
		next(contain.Do(func() (err error) {
			r.ending, err = r.poller.Wait(ctx, r.watch())
			r.traceWait(ctx)
			end(err)
			return err
		}))
	}()
}

func (r *run) watch() *task.Watch {
	return &task.Watch{
		TaskID: r.rec.TaskID, WorkflowID: r.rec.WorkflowID, Kind: r.req.Kind,
		Submitted: r.rec.SubmittedAt, Deadline: r.rec.SubmittedAt.Add(r.req.Timeout), Resumed: r.rec.Epoch > 1,
	}
}

func (r *run) judge() {
	verdict := r.req.Judge(r.ending)
	r.verdict = &verdict
}
