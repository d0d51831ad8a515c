package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// lookInterval is the time between two looks at a task that waits for its retry.
const lookInterval = 5 * time.Second

// retryWait returns about how long a task waits before its retry with this number, from 1. The waits grow, so that a web
// site can recover.
func (p *Pipeline) retryWait(retry int) time.Duration {
	factors := []int{1, 6, 24, 60}
	return time.Duration(factors[min(max(retry, 1), len(factors))-1]) * p.cfg.RetryWait // a record may say anything
}

// isRetried reports whether the task is to be run again after this verdict on its run. If an earlier delivery may have
// published the task's event, with another verdict, isRetried looks for it: then the task has ended.
func (r *run) isRetried(ctx context.Context, rec *task.Record, verdict *task.Verdict) (bool, error) {
	if verdict.Error == nil || !r.req.Retries(rec.Run, verdict.Error.Code) {
		return false, nil
	}
	if rec.Epoch == 1 {
		return true, nil
	}
	_, _, answered, err := r.Publisher.Find(ctx, r.req.Delivery, rec.TaskID, rec.Digest)
	if errors.Is(err, task.ErrNoEvent) {
		err = nil
	}
	return !answered, err
}

// retry records that a run has failed and that the next one is due after a while. The record is compared with the one of
// the failed run, so each run is counted once: a worker that dies before this write leaves the failed run to be judged
// again, and one that dies after it leaves the next run to be waited for.
func (r *run) retry(ctx context.Context, rec *task.Record, verdict *task.Verdict) (*task.Record, error) {
	rec, err := r.confirm(ctx, rec)
	if err != nil {
		return rec, err
	}
	next := *rec
	next.Runs = append(slices.Clip(rec.Runs), r.finishedRun(rec, verdict))
	next.Run++
	next.State, next.WorkflowID, next.SubmittedAt = task.Waiting, "", time.Time{}
	next.SessionID, next.SessionEnded, next.Steps, next.Credits = r.req.SessionID, nil, nil, nil
	next.Ending, next.Fenced, next.LiveView = "", false, ""
	wait := r.retryWait(next.Run)
	next.WaitsFor, next.WaitsUntil = task.ForRetry, r.cfg.Clock.Now().Add(wait/2+rand.N(wait+1))
	saved, err := r.advance(ctx, next)
	if err != nil {
		return saved, err
	}
	r.posted, r.own, r.sessions.gone = false, ownRefusals{}, 0
	r.metrics.retries.WithLabelValues(string(verdict.Error.Code)).Inc()
	r.log.Info().Str("task", rec.TaskID).Str("workflow", rec.WorkflowID).Str("code", string(verdict.Error.Code)).
		Int("retry", saved.Run).Time("until", saved.WaitsUntil).Msg("run failed, task will be run again")
	return saved, nil
}

// finishedRun describes the run that the record is in, which has ended with this verdict.
func (r *run) finishedRun(rec *task.Record, verdict *task.Verdict) task.Run {
	ended := task.Run{
		WorkflowID: rec.WorkflowID, SubmittedAt: rec.SubmittedAt,
		FinishedAt: notBefore(r.cfg.Clock.Now(), rec.SubmittedAt, rec.RequestedAt),
		SessionID:  r.created(rec), Steps: rec.Steps, Credits: rec.Credits,
	}
	if verdict.Error != nil {
		ended.Code = verdict.Error.Code
	}
	return ended
}

// allRuns returns the runs of a task that has ended, or nil if there was at most one.
func (r *run) allRuns(rec *task.Record, verdict *task.Verdict) []task.Run {
	if len(rec.Runs) == 0 || rec.WorkflowID == "" {
		return rec.Runs
	}
	return append(slices.Clip(rec.Runs), r.finishedRun(rec, verdict))
}

// awaitRetry waits until the retry that the record is in is due. Meanwhile it calls look every lookInterval. The error is
// ctx's or that of look.
func (r *run) awaitRetry(ctx context.Context, rec *task.Record, look func() error) error {
	if rec.WaitsFor != task.ForRetry {
		return nil
	}
	// It waits no longer than a retry may, however wrong a clock was that wrote the record.
	due := time.Now().Add(min(rec.WaitsUntil.Sub(r.cfg.Clock.Now()), 2*r.retryWait(rec.Run)))
	for time.Until(due) > lookInterval {
		if err := timer.Sleep(ctx, lookInterval, nil); err != nil {
			return err
		}
		if err := look(); err != nil {
			return err
		}
	}
	return timer.Sleep(ctx, time.Until(due), nil)
}
