package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// refuse answers a request that cannot be run: its bytes go among the dead letters, and an event says
// which field breaks which rule.
func (p *Pipeline) refuse(ctx context.Context, m task.Message, why error) error {
	invalid, ok := errors.AsType[*task.InvalidError](why)
	if !ok {
		return why
	}
	ctx = context.WithoutCancel(ctx)
	body, kept := task.RedactRequest(m.Data)
	reason := invalid.Error()
	if !kept {
		reason += "; " + task.NoBody
	}
	if err := p.publisher.Bury(ctx, m, body, reason); err != nil {
		return err
	}
	ev := p.refusal(m, invalid.TaskID, task.NewError(task.InvalidRequest, invalid.Error()))
	ev.Metadata = invalid.Metadata
	if _, _, err := p.publisher.Publish(ctx, m, ev, m.Deliveries > 1); err != nil {
		return err
	}
	p.metrics.tasks.WithLabelValues(string(ev.Status), string(ev.Error.Code)).Inc()
	p.log.Warn().Str("task", ev.TaskID).Str("field", invalid.Field).Msg("request was refused")
	return nil
}

// refuseDuplicate answers a request whose task id is taken. The event is beside the task's own.
func (r *run) refuseDuplicate(ctx context.Context, why string) error {
	ev := r.refusal(r.req.Message, r.req.TaskID, task.NewError(task.DuplicateTask, "task_id "+r.req.TaskID+" "+why))
	ev.Metadata = r.req.Metadata
	if err := r.publisher.PublishAside(context.WithoutCancel(ctx), r.req.Message, ev, r.req.Message.Deliveries > 1); err != nil {
		return err
	}
	r.metrics.tasks.WithLabelValues(string(ev.Status), string(ev.Error.Code)).Inc()
	r.log.Warn().Str("task", ev.TaskID).Msg("task id was used by another request")
	return errSettled
}

func (p *Pipeline) refusal(m task.Message, taskID string, why *task.Error) task.Event {
	return task.Event{
		TaskID: taskID, Status: task.Failed, Error: why,
		RequestedAt: m.Stored, FinishedAt: time.Now().UTC(), Worker: p.cfg.Worker,
	}
}
