package pipeline

import (
	"context"
	"errors"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/task"
)

// wait waits for the end of the task's workflow and judges it. While it waits, the record is written again whenever
// the bucket may have lost it.
func (r *run) wait(ctx context.Context, rec task.Record) (task.Record, *outcome, error) {
	r.enterStep(stepPoll)
	polls := rec.Polls
	for {
		ending, err := r.waitOnce(ctx, rec)
		polls += ending.Polls
		if errors.Is(err, errRecordsLost) {
			if rec, err = r.restore(ctx, rec); err == nil {
				continue
			}
		}
		if err != nil {
			return rec, nil, err
		}
		rec.Polls = polls
		out := &outcome{ending: ending}
		r.req.Message.Work(func() { out.verdict, err = r.req.Judge(ctx, ending) })
		if err != nil { // told to stop while the check waited for its turn
			ending.Release()
			return rec, nil, err
		}
		return rec, out, nil
	}
}

// waitOnce waits until the workflow ends, ctx does, or the records may be lost.
func (r *run) waitOnce(ctx context.Context, rec task.Record) (ending task.Ending, err error) {
	waitCtx, stop := r.waits.begin(ctx)
	defer stop()
	err = r.spanned(waitCtx, "wait", trace.SpanKindInternal, func(ctx context.Context) (err error) {
		ending, err = r.Poller.Wait(ctx, r.watch(ctx, rec))
		trace.SpanFromContext(ctx).SetAttributes(attribute.Int("capstan.polls", ending.Polls), attribute.String("capstan.workflow.id", rec.WorkflowID))
		return err
	})
	if err != nil && ctx.Err() == nil && waitCtx.Err() != nil {
		return ending, errRecordsLost
	}
	return ending, err
}

// watch returns what the poller is to wait for. The record's times are by the server's clock, and the poller's by
// this machine's.
func (r *run) watch(ctx context.Context, rec task.Record) *task.Watch {
	submitted := rec.SubmittedAt.Add(-r.cfg.Clock.Skew())
	return &task.Watch{
		TaskID: rec.TaskID, WorkflowID: rec.WorkflowID, Kind: r.req.Kind,
		Submitted: submitted, Deadline: submitted.Add(r.req.Timeout), Resumed: rec.Epoch > 1,
		Runs: func() { r.stepForward(ctx) },
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
