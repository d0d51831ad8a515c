package pipeline

import (
	"context"

	"github.com/capstan-worker/capstan/internal/task"
)

// poll waits for the workflow's end and judges it.
func (r *run) poll(ctx context.Context) error {
	if r.verdict != nil {
		return nil
	}
	r.enterStep(stepPoll)
	ending, err := r.waitForEnd(ctx, task.Watch{
		TaskID: r.rec.TaskID, WorkflowID: r.rec.WorkflowID, Kind: r.req.Kind,
		Submitted: r.rec.SubmittedAt, Deadline: r.rec.SubmittedAt.Add(r.req.Timeout), Resumed: r.rec.Epoch > 1,
	})
	if err != nil {
		return err
	}
	verdict := r.req.Judge(ending)
	r.ending, r.verdict = ending, &verdict
	return nil
}
