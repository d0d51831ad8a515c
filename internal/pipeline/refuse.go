package pipeline

import (
	"context"
	"errors"

	"github.com/capstan-worker/capstan/internal/task"
)

// refuse answers a request that cannot be run: its bytes go among the dead letters, and an event says
// which field breaks which rule.
func (p *Pipeline) refuse(ctx context.Context, m *task.Delivery, why error) error {
	invalid, ok := errors.AsType[*task.InvalidError](why)
	if !ok {
		return why
	}
	ctx = context.WithoutCancel(ctx)
	var body []byte
	var kept bool
	m.WhileBusy(func() { body, kept = task.RedactRequest(m.Data) })
	reason := invalid.Error()
	if !kept {
		reason += "; " + task.NoBody
	}
	if err := p.Publisher.DeadLetter(ctx, *m, body, reason); err != nil {
		return err
	}
	ev := p.refusal(m, invalid.TaskID, task.NewError(task.InvalidRequest, invalid.Error()))
	ev.Metadata = invalid.Metadata
	if err := p.publishRefusal(ctx, m, ev); err != nil {
		return err
	}
	p.metrics.tasks.WithLabelValues(string(ev.Status), string(ev.Error.Code)).Inc()
	p.log.Warn().Str("task", ev.TaskID).Str("field", invalid.Field).Msg("request was refused")
	return nil
}

// publishRefusal stores the event of a request that is refused. Under an id that another request uses it gets a message
// id of its own, lest that task's event is taken for its copy.
func (p *Pipeline) publishRefusal(ctx context.Context, m *task.Delivery, ev task.Event) error {
	again := m.Deliveries > 1
	rec, err := p.Tracker.Get(ctx, ev.TaskID)
	switch {
	case errors.Is(err, task.ErrNoRecord), err == nil && rec.BelongsTo(*m):
		_, _, err = p.Publisher.Publish(ctx, *m, ev, again)
		return err
	case err == nil, errors.Is(err, task.ErrNewerRecord):
		return p.Publisher.PublishPerRequest(ctx, *m, ev, again)
	default:
		return err
	}
}

// refuseDuplicate answers a request whose task id is used already. Its event has a message id of its own.
func (r *run) refuseDuplicate(ctx context.Context, why string) error {
	ev := r.refusal(&r.req.Delivery, r.req.TaskID, task.NewError(task.DuplicateTask, "task_id "+r.req.TaskID+" "+why))
	ev.Metadata = r.req.Metadata
	if err := r.Publisher.PublishPerRequest(context.WithoutCancel(ctx), r.req.Delivery, ev, r.req.Delivery.Deliveries > 1); err != nil {
		return err
	}
	r.metrics.tasks.WithLabelValues(string(ev.Status), string(ev.Error.Code)).Inc()
	r.log.Warn().Str("task", ev.TaskID).Msg("task id already used by another request")
	return nil
}

func (p *Pipeline) refusal(m *task.Delivery, taskID string, why *task.Error) task.Event {
	return task.Event{
		TaskID: taskID, Status: task.Failed, Error: why,
		RequestedAt: m.Stored, FinishedAt: later(p.cfg.Clock.Now(), m.Stored), Worker: p.cfg.Worker,
	}
}
