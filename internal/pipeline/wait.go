package pipeline

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/task"
)

// A worker holds tens of thousands of tasks, nearly all of them in wait. Go keeps a goroutine's stack at 4 KiB only if
// less than 1,248 bytes of it are used, so the functions from Handle to the poller's timer pass records and outcomes
// by pointer and have small frames. A test measures it.

// wait waits for the end of the task's workflow and returns its outcome, and the record with the number of polls.
// Meanwhile it writes the record again whenever the bucket may have lost it.
func (r *run) wait(ctx context.Context, rec *task.Record) (*task.Record, *task.Outcome, error) {
	r.enterStep(stepPoll)
	polls := rec.Polls
	for {
		outcome, interrupted, err := r.waitOnce(ctx, rec)
		polls += outcome.Polls
		switch {
		case err != nil:
			return rec, nil, err
		case !interrupted:
			return withPolls(rec, polls), outcome, nil
		}
		if rec, err = r.restore(ctx, rec); err != nil {
			return rec, nil, err
		}
	}
}

// withPolls returns a copy of the record with this number of status calls. It is written with the next step.
func withPolls(rec *task.Record, polls int) *task.Record {
	next := *rec
	next.Polls = polls
	return &next
}

// waitOnce waits until the workflow ends, ctx ends, or RecordsLost interrupts it. The outcome is never nil: it holds
// what was learned so far.
func (r *run) waitOnce(ctx context.Context, rec *task.Record) (outcome *task.Outcome, interrupted bool, err error) {
	waitCtx, end := r.beginWait(ctx)
	defer func() { end(err) }()
	outcome, err = r.Poller.Wait(waitCtx, r.watch(ctx, rec))
	traceWait(waitCtx, rec.WorkflowID, outcome.Polls)
	if err != nil && ctx.Err() == nil && waitCtx.Err() != nil {
		return outcome, true, nil
	}
	return outcome, false, err
}

// beginWait returns the context of a wait, which ends when all waits are interrupted, with a span of its own.
func (r *run) beginWait(ctx context.Context) (_ context.Context, end func(error)) {
	ctx, stop := r.waits.begin(ctx)
	ctx, endSpan := r.beginSpan(ctx, "wait", trace.SpanKindInternal)
	return ctx, func(err error) {
		endSpan(err)
		stop()
	}
}

// watch describes the workflow for the poller. The record's times are by the server's clock, the poller's by this
// machine's.
func (r *run) watch(ctx context.Context, rec *task.Record) *task.Watch {
	submitted := rec.SubmittedAt.Add(-r.cfg.Clock.Skew())
	return &task.Watch{
		TaskID: rec.TaskID, WorkflowID: rec.WorkflowID, Kind: r.req.Kind,
		Submitted: submitted, Deadline: submitted.Add(r.req.Timeout), Resumed: rec.Epoch > 1,
		Answered: func() { r.resetCount(ctx) },
	}
}

// judge returns the verdict on the outcome of a wait. The error is ctx's: it ended before the check against
// output_schema could begin.
func (r *run) judge(ctx context.Context, outcome *task.Outcome) (verdict *task.Verdict, err error) {
	verdict = &task.Verdict{}
	r.req.Delivery.WhileBusy(func() { *verdict, err = r.req.Judge(ctx, *outcome) })
	return verdict, err
}

// waits are the waits for workflows, which RecordsLost interrupts.
type waits struct {
	mu     sync.Mutex
	cancel map[*context.CancelFunc]struct{} // guarded by mu
}

func newWaits() *waits { return &waits{cancel: map[*context.CancelFunc]struct{}{}} }

// begin returns a context that ends with ctx, with end, or when all waits are interrupted.
func (w *waits) begin(ctx context.Context) (waitCtx context.Context, end func()) {
	waitCtx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancel[&cancel] = struct{}{}
	return waitCtx, func() {
		cancel()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.cancel, &cancel)
	}
}

// RecordsLost reports that the bucket may have lost records: it was recreated, or went back in time. Each running task
// checks its record and writes it again if necessary.
func (p *Pipeline) RecordsLost() {
	p.waits.mu.Lock()
	defer p.waits.mu.Unlock()
	for cancel := range p.waits.cancel {
		(*cancel)()
	}
}
