package pipeline

import (
	"context"
	"errors"

	"github.com/capstan-worker/capstan/internal/task"
)

// refuse answers a request that breaks a rule: its bytes become a dead letter, and an event names the field and the
// rule. Any other error of reading the request is returned.
func (p *Pipeline) refuse(ctx context.Context, d *task.Delivery, why error) error {
	invalid, ok := errors.AsType[*task.InvalidError](why)
	if !ok {
		return why
	}
	ctx = context.WithoutCancel(ctx)
	letter := task.DeadLetter{TaskID: invalid.TaskID, Code: task.InvalidRequest, Batch: invalid.Batch, Reason: invalid.Error()}
	if err := p.deadLetter(ctx, *d, letter); err != nil {
		return err
	}
	ev := p.refusal(d, invalid.TaskID, task.NewError(task.InvalidRequest, invalid.Error()))
	ev.Metadata, ev.Batch = invalid.Metadata, invalid.Batch
	if err := p.publishRefusal(ctx, d, ev); err != nil {
		return err
	}
	p.metrics.countEvent(&ev)
	p.log.Warn().Str("task", ev.TaskID).Str("field", invalid.Field).Msg("request refused")
	return nil
}

// publishRefusal stores the event of a refused request. If another request uses the id, the event gets a message id of
// its own, so that the other task's event is not dropped as its duplicate.
func (p *Pipeline) publishRefusal(ctx context.Context, d *task.Delivery, ev task.Event) error {
	redelivered := d.Deliveries > 1
	rec, err := p.Tracker.Get(ctx, ev.TaskID)
	switch {
	case errors.Is(err, task.ErrNoRecord), err == nil && rec.BelongsTo(*d):
		_, _, err = p.Publisher.Publish(ctx, *d, ev, redelivered)
		return err
	case err == nil, errors.Is(err, task.ErrNewerRecord):
		return p.Publisher.PublishPerRequest(ctx, *d, ev, redelivered)
	default:
		return err
	}
}

// refuseDuplicate answers a request whose task id another request has used, with an event under a message id of its
// own.
func (r *run) refuseDuplicate(ctx context.Context, why string) error {
	d := &r.req.Delivery
	ev := r.refusal(d, r.req.TaskID, task.NewError(task.DuplicateTask, "task_id "+r.req.TaskID+" "+why))
	ev.Metadata, ev.Batch = r.req.Metadata, r.req.Batch
	ctx = context.WithoutCancel(ctx)
	if err := r.Publisher.PublishPerRequest(ctx, *d, ev, d.Deliveries > 1); err != nil {
		return err
	}
	if err := r.keepFailed(ctx, &ev); err != nil {
		return err
	}
	r.metrics.countEvent(&ev)
	r.log.Warn().Str("task", ev.TaskID).Msg("task id already used by another request")
	return nil
}

// refusal returns the event of a request that was never submitted, or is not read any more.
func (p *Pipeline) refusal(d *task.Delivery, taskID string, why *task.Error) task.Event {
	return task.Event{
		TaskID: taskID, Status: task.Failed, Error: why,
		RequestedAt: d.Stored, FinishedAt: notBefore(p.cfg.Clock.Now(), d.Stored), Worker: p.cfg.Worker,
	}
}
