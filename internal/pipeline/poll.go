package pipeline

import (
	"context"

	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/task"
)

// poll waits for the workflow's end and judges it. Most of a task's life is spent in here, and there are
// thousands of them: what is on the stack meanwhile is kept small.
func (r *run) poll(ctx context.Context) error {
	if r.verdict != nil {
		return nil
	}
	r.enterStep(stepPoll)
	if err := r.spanned(ctx, "wait", trace.SpanKindInternal, r.wait); err != nil {
		return err
	}
	r.judge()
	return nil
}

func (r *run) wait(ctx context.Context) (err error) {
	r.ending, err = r.poller.Wait(ctx, r.watch())
	r.traceWait(ctx)
	return err
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
