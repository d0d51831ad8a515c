package pipeline

import (
	"context"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// publish stores the task's event and then finishes its record; the acknowledgement comes after both. A
// crash in between is made good by the next delivery: the event is told for a duplicate, or the record
// says that it is stored.
func (r *run) publish(ctx context.Context) error {
	r.enterStep(stepPublish)
	ctx = context.WithoutCancel(ctx)
	if err := r.stillOwner(ctx); err != nil {
		return err
	}
	ev, seq, err := r.publisher.Publish(ctx, r.req.Message, r.event(), r.rec.Epoch > 1)
	if err != nil {
		return err
	}
	rec := r.rec
	rec.State, rec.FinishedAt, rec.ResultSeq, rec.Polls, rec.ErrorCode = ev.Status, ev.FinishedAt, seq, ev.Polls, ""
	if ev.Error != nil {
		rec.ErrorCode = ev.Error.Code
	}
	if r.rec, err = r.tracker.Save(ctx, rec); err != nil {
		return err
	}
	r.ended(ev)
	return nil
}

// certainFor is how long a record is taken for unchanged since it was written. A worker whose host was
// suspended does not know that its lease has lapsed, but the calendar has moved on.
const certainFor = 10 * time.Minute

// stillOwner looks whether the task is this run's yet, where there is reason to doubt it.
func (r *run) stillOwner(ctx context.Context) error {
	age := time.Now().Round(0).Sub(r.rec.UpdatedAt.Round(0))
	if !r.req.Message.HasLapsed() && age < certainFor {
		return nil
	}
	rec, err := r.tracker.Get(ctx, r.rec.TaskID)
	if err != nil {
		return err
	}
	if rec.Revision != r.rec.Revision {
		return task.ErrNotOwner
	}
	return nil
}

func (r *run) event() task.Event {
	ev := task.Event{
		TaskID: r.rec.TaskID, Status: task.Succeeded,
		WorkflowID: r.rec.WorkflowID, WorkflowStatus: r.ending.Status,
		Result: r.verdict.Result, RawResult: r.verdict.RawResult, Error: r.verdict.Error, Metadata: r.req.Metadata,
		RequestedAt: r.rec.RequestedAt, SubmittedAt: r.rec.SubmittedAt, FinishedAt: time.Now().UTC(),
		Attempts: r.rec.Attempts, Polls: r.rec.Polls + r.ending.Polls, UnnoticedMS: r.ending.Unnoticed.Milliseconds(),
		Worker: r.cfg.Worker,
	}
	if ev.Error != nil {
		ev.Status = task.Failed
	}
	return r.req.Secrets.Event(ev)
}

// ended tells operators of an event that is stored.
func (r *run) ended(ev task.Event) {
	code := noCode
	if ev.Error != nil {
		code = string(ev.Error.Code)
	}
	r.metrics.tasks.WithLabelValues(string(ev.Status), code).Inc()
	if !ev.SubmittedAt.IsZero() {
		r.metrics.ran.Observe(ev.FinishedAt.Sub(ev.SubmittedAt).Seconds())
		r.metrics.polls.Observe(float64(ev.Polls))
	}
	if r.ending.Unnoticed > 0 {
		r.metrics.unnoticed.Observe((r.ending.Unnoticed + time.Since(r.since)).Seconds())
	}
	r.log.Info().Str("task", ev.TaskID).Str("workflow", ev.WorkflowID).Str("status", string(ev.Status)).
		Str("code", code).Int("polls", ev.Polls).Stringer("took", ev.FinishedAt.Sub(ev.RequestedAt)).Msg("task ended")
}
