package pipeline

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/task"
)

// wait waits for the end of the task's workflow and judges it. While it waits, the record is written again whenever
// the bucket may have lost it.
func (r *run) wait(ctx context.Context, rec *task.Record) (*task.Record, *outcome, error) {
	r.enterStep(stepPoll)
	out := &outcome{}
	polls := rec.Polls
	for {
		err := r.waitOnce(ctx, rec, &out.ending)
		polls += out.ending.Polls
		switch {
		case errors.Is(err, errRecordsLost):
			if rec, err = r.restore(ctx, rec); err != nil {
				return rec, nil, err
			}
		case err != nil:
			return rec, nil, err
		default:
			rec = polled(rec, polls)
			if err := r.judge(ctx, out); err != nil {
				return rec, nil, err
			}
			return rec, out, nil
		}
	}
}

// polled returns the record with so many status calls. It is written with the next step.
func polled(rec *task.Record, polls int) *task.Record {
	next := *rec
	next.Polls = polls
	return &next
}

// judge adds the verdict to the outcome. The error is ctx's: it ended while the check against output_schema waited for
// its turn.
func (r *run) judge(ctx context.Context, out *outcome) (err error) {
	r.req.Delivery.WhileBusy(func() { out.verdict, err = r.req.Judge(ctx, out.ending) })
	if err != nil {
		out.ending.Release()
	}
	return err
}

// waitOnce waits until the workflow ends, ctx does, or the records may be lost. The ending holds what was learned, in
// any case.
func (r *run) waitOnce(ctx context.Context, rec *task.Record, ending *task.Outcome) (err error) {
	waitCtx, end := r.beginWait(ctx)
	defer func() { end(err) }()
	found, err := r.Poller.Wait(waitCtx, r.watch(ctx, rec))
	*ending = *found
	traceWait(waitCtx, rec.WorkflowID, found.Polls)
	if err != nil && ctx.Err() == nil && waitCtx.Err() != nil {
		return errRecordsLost
	}
	return err
}

// beginWait returns the context of a wait, which ends when all waits are interrupted, with its span.
func (r *run) beginWait(ctx context.Context) (_ context.Context, end func(error)) {
	ctx, stop := r.waits.begin(ctx)
	ctx, endSpan := r.beginSpan(ctx, "wait", trace.SpanKindInternal)
	return ctx, func(err error) {
		endSpan(err)
		stop()
	}
}

// watch returns what the poller is to wait for. The record's times are by the server's clock, and the poller's by
// this machine's.
func (r *run) watch(ctx context.Context, rec *task.Record) *task.Watch {
	submitted := rec.SubmittedAt.Add(-r.cfg.Clock.Skew())
	return &task.Watch{
		TaskID: rec.TaskID, WorkflowID: rec.WorkflowID, Kind: r.req.Kind,
		Submitted: submitted, Deadline: submitted.Add(r.req.Timeout), Resumed: rec.Epoch > 1,
		Answered: func() { r.stepForward(ctx) },
	}
}

// errRecordsLost interrupts the waits for workflows.
var errRecordsLost = errors.New("the records may be lost")

// waits are the waits for workflows, which can be interrupted all at once.
type waits struct {
	mu   sync.Mutex
	stop map[*context.CancelFunc]struct{} // guarded by mu
}

func newWaits() *waits { return &waits{stop: map[*context.CancelFunc]struct{}{}} }

// begin returns a context that ends with ctx, with end, or when all waits are interrupted.
func (w *waits) begin(ctx context.Context) (waitCtx context.Context, end func()) {
	waitCtx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stop[&cancel] = struct{}{}
	return waitCtx, func() {
		cancel()
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.stop, &cancel)
	}
}

// RecordsLost tells that the bucket may have lost records: it was recreated, or went back in time. The records of all
// tasks that run are written again where that is so.
func (p *Pipeline) RecordsLost() {
	p.waits.mu.Lock()
	defer p.waits.mu.Unlock()
	for cancel := range p.waits.stop {
		(*cancel)()
	}
}
