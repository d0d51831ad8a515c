package pipeline

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// publish stores the task's event and then finishes its record. The acknowledgement comes after both. If the worker
// dies in between, the next delivery completes the task: the stream recognizes the event as a duplicate, or the record
// says that it is stored. outcome is nil if no workflow ran.
func (r *run) publish(ctx context.Context, rec *task.Record, outcome *task.Outcome, verdict *task.Verdict) (err error) {
	if rec, err = r.confirmAlone(ctx, rec); err != nil {
		return err
	}
	r.enterStep(stepPublish)
	ctx, end := r.beginSpan(context.WithoutCancel(ctx), "publish", trace.SpanKindProducer)
	defer func() { end(err) }()
	var ev task.Event
	r.req.Delivery.WhileBusy(func() { ev = r.event(rec, outcome, verdict) })
	if ev, err = r.Publisher.Offload(ctx, r.req.Delivery, ev); err != nil {
		return err
	}
	if rec, err = r.confirmAlone(ctx, rec); err != nil { // the upload may have taken long
		return err
	}
	ev, seq, err := r.store(ctx, rec, ev)
	if err != nil {
		return err
	}
	if err := r.keepFailed(ctx, &ev); err != nil {
		return err
	}
	rec, err = r.advance(ctx, rec.Finished(ev, seq))
	if err != nil {
		return err
	}
	r.traceRecord(rec)
	if ev.Steps != nil || ev.Credits != nil {
		r.metrics.countUse(agentLabel(r.kindOf(rec)), &ev)
	}
	r.reportEnd(&ev, outcome)
	return nil
}

// confirmAlone confirms that this run owns the task, and that no earlier owner still trusts the record that it wrote. Such an
// owner is alive, trusts its record for certainFor, and may publish in that time. The stream drops the second event, but a
// subscriber without a consumer sees both. If ctx ends first, confirmAlone returns its error, and the next owner continues.
func (r *run) confirmAlone(ctx context.Context, rec *task.Record) (*task.Record, error) {
	for {
		contested := r.contested
		if !contested.IsZero() {
			if err := timer.Sleep(ctx, contested.Add(certainFor).Sub(r.cfg.Clock.Now()), nil); err != nil {
				return rec, err
			}
		}
		var err error
		if rec, err = r.confirm(context.WithoutCancel(ctx), rec); err != nil || r.contested.Equal(contested) {
			return rec, err
		}
	}
}

// store publishes the event, unless the owner of before has. It returns the stored one and its sequence.
func (r *run) store(ctx context.Context, rec *task.Record, ev task.Event) (stored task.Event, seq uint64, _ error) {
	if !r.contested.IsZero() {
		stored, seq, found, err := r.Publisher.FindSince(ctx, r.req.Delivery, ev, r.contested.Add(-2*contestedFor))
		if found || err != nil {
			return stored, seq, err
		}
	}
	return r.Publisher.Publish(ctx, r.req.Delivery, ev, rec.Epoch > 1 || rec.UnknownOnce())
}

// event returns the task's event without secrets.
func (r *run) event(rec *task.Record, outcome *task.Outcome, verdict *task.Verdict) task.Event {
	ev := task.Event{
		TaskID: rec.TaskID, Status: task.Succeeded,
		WorkflowID: rec.WorkflowID,
		Result:     verdict.Result, RawResult: verdict.RawResult, Error: verdict.Error, Metadata: r.req.Metadata, Batch: r.req.Batch,
		RequestedAt: rec.RequestedAt, SubmittedAt: rec.SubmittedAt, FinishedAt: notBefore(r.cfg.Clock.Now(), rec.SubmittedAt, rec.RequestedAt),
		Attempts: rec.Attempts, Runs: r.allRuns(rec, verdict), Polls: rec.Polls, Worker: r.cfg.Worker, Digest: rec.Digest,
	}
	ev.SessionID, ev.SessionEnded = r.created(rec), rec.SessionEnded
	ev.Steps, ev.Credits = used(rec)
	if outcome != nil {
		ev.WorkflowStatus, ev.UnnoticedMS = outcome.Status, outcome.DetectionDelay.Milliseconds()
	}
	if ev.Error != nil {
		ev.Status = task.Failed
	}
	return r.hidden().Event(ev)
}

// notBefore returns t, or one of the earlier times if that is up to a second later than t: the server's time is known
// only to some milliseconds, and what happened later must not look earlier.
func notBefore(t time.Time, earlier ...time.Time) time.Time {
	for _, e := range earlier {
		if ahead := e.Sub(t); ahead > 0 && ahead < time.Second {
			t = e
		}
	}
	return t
}

// hidden are what no event may show: the secrets of the request, and the API keys of this worker, which the API may repeat
// in an answer.
func (r *run) hidden() task.Secrets {
	var keys []string
	if r.cfg.Keys != nil {
		keys = r.cfg.Keys()
	}
	if r.req.Secrets.Size() > 0 {
		return r.req.Secrets.With(keys...)
	}
	return r.keysOnly.secrets(keys)
}

// keysOnly keeps the prepared secrets of requests without their own: the API keys, which seldom change.
type keysOnly struct{ latest atomic.Pointer[preparedKeys] }

// preparedKeys are API keys with the tables that find them in a text.
type preparedKeys struct {
	keys    []string
	secrets task.Secrets
}

// secrets prepares the keys when they differ from the last call's.
func (k *keysOnly) secrets(keys []string) task.Secrets {
	p := k.latest.Load()
	if p == nil || !slices.Equal(p.keys, keys) {
		p = &preparedKeys{keys: keys, secrets: task.Secrets{}.With(keys...).Prepared()}
		k.latest.Store(p)
	}
	return p.secrets
}

// reportEnd reports a stored event in the metrics and the log.
func (r *run) reportEnd(ev *task.Event, outcome *task.Outcome) {
	r.metrics.countEvent(ev)
	if !ev.SubmittedAt.IsZero() {
		r.metrics.ran.Observe(ev.FinishedAt.Sub(ev.SubmittedAt).Seconds())
		r.metrics.polls.Observe(float64(ev.Polls))
	}
	if outcome != nil && outcome.DetectionDelay > 0 {
		r.metrics.detectionDelay.Observe((outcome.DetectionDelay + time.Since(outcome.DetectedAt)).Seconds())
	}
	r.log.Info().Str("task", ev.TaskID).Str("workflow", ev.WorkflowID).Str("status", string(ev.Status)).
		Func(func(line *zerolog.Event) {
			if ev.Error != nil {
				line.Str("code", string(ev.Error.Code))
			}
		}).Int("polls", ev.Polls).Stringer("took", ev.FinishedAt.Sub(ev.RequestedAt)).Msg("task finished")
}
