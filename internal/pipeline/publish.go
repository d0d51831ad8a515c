package pipeline

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/task"
)

// publish stores the task's event and then finishes its record; the acknowledgement comes after both. A
// crash in between is made good by the next delivery: the stream recognizes the event as a duplicate, or the record
// says that it is stored.
func (r *run) publish(ctx context.Context, rec *task.Record, out *outcome) error {
	r.enterStep(stepPublish)
	return r.spanned(context.WithoutCancel(ctx), "publish", trace.SpanKindProducer, func(ctx context.Context) error {
		rec, err := r.confirm(ctx, rec)
		if err != nil {
			return err
		}
		var ev task.Event
		r.req.Delivery.WhileBusy(func() { ev = r.event(rec, out) })
		ev, seq, err := r.Publisher.Publish(ctx, r.req.Delivery, ev, rec.Epoch > 1)
		if err != nil {
			return err
		}
		if rec, err = r.advance(ctx, rec.Finished(ev, seq)); err != nil {
			return err
		}
		r.traceRecord(rec)
		r.ended(ev, out.ending)
		return nil
	})
}

func (r *run) event(rec *task.Record, out *outcome) task.Event {
	ev := task.Event{
		TaskID: rec.TaskID, Status: task.Succeeded,
		WorkflowID: rec.WorkflowID, WorkflowStatus: out.ending.Status,
		Result: out.verdict.Result, RawResult: out.verdict.RawResult, Error: out.verdict.Error, Metadata: r.req.Metadata,
		RequestedAt: rec.RequestedAt, SubmittedAt: rec.SubmittedAt, FinishedAt: later(r.cfg.Clock.Now(), rec.SubmittedAt, rec.RequestedAt),
		Attempts: rec.Attempts, Polls: rec.Polls, UnnoticedMS: out.ending.DetectionDelay.Milliseconds(),
		Worker: r.cfg.Worker,
	}
	if ev.Error != nil {
		ev.Status = task.Failed
	}
	return r.secrets().Event(ev)
}

// later returns t, or one of the others where that is up to a second later: the server's time is known to some
// milliseconds only, and what comes later must not look earlier.
func later(t time.Time, others ...time.Time) time.Time {
	for _, other := range others {
		if ahead := other.Sub(t); ahead > 0 && ahead < time.Second {
			t = other
		}
	}
	return t
}

// secrets are what no event may show: those of the request, and the API keys of this worker, which the API may repeat
// in an answer.
func (r *run) secrets() task.Secrets {
	var keys []string
	if r.cfg.Keys != nil {
		keys = r.cfg.Keys()
	}
	if r.req.Secrets.Size() > 0 {
		return r.req.Secrets.With(keys...)
	}
	return r.keysOnly.secrets(keys)
}

// keysOnly keeps the secrets of requests that have none of their own: the API keys, which seldom change.
type keysOnly struct{ latest atomic.Pointer[preparedKeys] }

type preparedKeys struct {
	keys    []string
	secrets task.Secrets
}

func (k *keysOnly) secrets(keys []string) task.Secrets {
	p := k.latest.Load()
	if p == nil || !slices.Equal(p.keys, keys) {
		p = &preparedKeys{keys: keys, secrets: task.Secrets{}.With(keys...).Prepared()}
		k.latest.Store(p)
	}
	return p.secrets
}

// ended tells operators of an event that is stored.
func (r *run) ended(ev task.Event, ending task.Outcome) {
	code := noCode
	if ev.Error != nil {
		code = string(ev.Error.Code)
	}
	r.metrics.tasks.WithLabelValues(string(ev.Status), code).Inc()
	if !ev.SubmittedAt.IsZero() {
		r.metrics.ran.Observe(ev.FinishedAt.Sub(ev.SubmittedAt).Seconds())
		r.metrics.polls.Observe(float64(ev.Polls))
	}
	if ending.DetectionDelay > 0 {
		r.metrics.unnoticed.Observe((ending.DetectionDelay + time.Since(r.since)).Seconds())
	}
	r.log.Info().Str("task", ev.TaskID).Str("workflow", ev.WorkflowID).Str("status", string(ev.Status)).
		Str("code", code).Int("polls", ev.Polls).Stringer("took", ev.FinishedAt.Sub(ev.RequestedAt)).Msg("task ended")
}
