package pipeline

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/task"
)

// A worker holds tens of thousands of tasks, nearly all of them in wait. Go keeps a goroutine's stack at 4 KiB only if
// less than 1,248 bytes of it are used, so the functions from Handle to the poller's timer pass records and outcomes
// by pointer and have small frames. A test measures it.

// wait waits for the end of the task's workflow and returns its outcome, and the record with the number of polls. If
// RecordsLost interrupts it, it writes the record again where the bucket has lost it, and goes on.
func (r *run) wait(ctx context.Context, rec *task.Record) (*task.Record, *task.Outcome, error) {
	r.enterStep(stepPoll)
	if outcome := r.endedBefore(ctx, rec); outcome != nil {
		return rec, outcome, nil
	}
	polls := rec.Polls
	for resumed := !r.posted; ; resumed = true {
		waitCtx, end := r.beginWait(ctx)
		outcome, err := r.Poller.Wait(waitCtx, r.watch(ctx, rec, resumed))
		polls += outcome.Polls
		switch err = end(rec, outcome, err); {
		case err == nil:
			return withPolls(rec, polls), outcome, nil
		case !errors.Is(err, task.ErrInterrupted):
			return rec, nil, err
		}
		if rec, err = r.restore(ctx, rec); err != nil {
			return rec, nil, err
		}
	}
}

// beginWait returns the context of a wait for the workflow, which ends when the task is canceled, and begins its span. end
// takes the error of the wait and returns it, or nil if the task was canceled: then the outcome says why.
func (r *run) beginWait(ctx context.Context) (_ context.Context, end func(*task.Record, *task.Outcome, error) error) {
	waitCtx, stop := r.untilCanceled(ctx)
	r.noteStop(stop)
	if r.mayBeLost() { // RecordsLost did not find this wait yet
		stop(task.ErrInterrupted)
	}
	waitCtx, endSpan := r.beginSpan(waitCtx, "wait", trace.SpanKindInternal)
	return waitCtx, func(rec *task.Record, outcome *task.Outcome, err error) error {
		traceWait(waitCtx, rec.WorkflowID, outcome.Polls)
		endSpan(err)
		if err != nil && isCanceled(waitCtx) {
			c, _ := r.canceled(ctx) // if it was taken back just now, the task is canceled nevertheless
			outcome.Canceled, err = &c, nil
		} else if err == nil && r.ownSession(rec) == "" { // else the end of the session frees it
			r.Admission.BrowserFreed()
		}
		stop(nil)
		return err
	}
}

// withPolls returns a copy of the record with this number of status calls. It is written with the next step.
func withPolls(rec *task.Record, polls int) *task.Record {
	next := *rec
	next.Polls = polls
	return &next
}

// watch describes the workflow for the poller. The record's times are by the server's clock, the poller's by this
// machine's. A wait that is resumed polls at least once, even after the deadline: the workflow may have ended in time.
func (r *run) watch(ctx context.Context, rec *task.Record, resumed bool) *task.Watch {
	submitted := rec.SubmittedAt.Add(-r.cfg.Clock.Skew())
	return &task.Watch{
		TaskID: rec.TaskID, WorkflowID: rec.WorkflowID, Kind: r.kind,
		Submitted: submitted, Deadline: submitted.Add(r.req.Timeout), Resumed: resumed,
		Answered: func() { r.resetCount(ctx) }, Scheduled: r.notePoll,
	}
}

// judge returns the verdict on the outcome of a wait. The error is ctx's: it ended before the check against
// output_schema could begin.
func (r *run) judge(ctx context.Context, outcome *task.Outcome) (verdict *task.Verdict, err error) {
	verdict = &task.Verdict{}
	r.req.Delivery.WhileBusy(func() { *verdict, err = r.req.Judge(ctx, *outcome) })
	return verdict, err
}

// RecordsLost reports that the bucket may have lost records: it was recreated, or went back in time. Each running task,
// each that ends its session, and each waiting one whose record says more than that it waits checks its record and writes it
// again if necessary.
func (p *Pipeline) RecordsLost() {
	p.lost.Add(1)
	p.runs.interrupt()
}
