package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// forbiddenLimit is the number of 403s after which one is the task's own, if other submissions were
	// accepted meanwhile.
	forbiddenLimit = 3

	// resubmitWait is about how long a submission of unknown outcome waits for its one repetition.
	resubmitWait = time.Second
)

// submit starts the task's workflow, unless its record names one already. Whatever can make it wait is
// waited for before the record says submitting: the window of doubt is the POST alone.
func (r *run) submit(ctx context.Context) error {
	r.enterStep(stepSubmit)
	if r.rec.State != task.Running {
		r.line.join(r)
		defer r.line.leave(r)
	}
	for r.verdict == nil && r.rec.State != task.Running {
		if err := r.admit(ctx); err != nil {
			return err
		}
		if r.verdict != nil {
			break
		}
		if err := r.post(ctx); err != nil {
			return err
		}
	}
	r.req.Body = nil // the wait may be long, and the body large
	return nil
}

// admit waits for the gate and then writes into the record that the submission leaves. A record that was
// created so needs neither.
func (r *run) admit(ctx context.Context) error {
	if r.leave == nil {
		if err := r.enter(ctx, 0); err != nil && !r.expired() {
			return err
		}
	}
	if r.expired() {
		r.giveUpPlace()
		r.fail(task.Expired, "expires_at, "+r.req.ExpiresAt.Format(time.RFC3339Nano)+", had passed before it could be submitted")
		return nil
	}
	if r.rec.State == task.Submitting {
		return nil
	}
	rec := r.rec
	rec.State = task.Submitting
	rec.Attempts++
	rec, err := r.tracker.Save(context.WithoutCancel(ctx), rec)
	if err != nil {
		r.giveUpPlace()
		return err
	}
	r.rec = rec
	return nil
}

// enter takes a place in the gate, waiting no longer than that (0: no bound) nor beyond expires_at.
func (r *run) enter(ctx context.Context, longest time.Duration) error {
	if longest > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longest)
		defer cancel()
	}
	if !r.req.ExpiresAt.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, r.req.ExpiresAt)
		defer cancel()
	}
	leave, err := r.gate.Acquire(ctx, r.req.SessionID)
	if err != nil {
		return err
	}
	r.leave = leave
	return nil
}

func (r *run) giveUpPlace() { r.leaveGate(task.ErrNotSubmitted) }

func (r *run) leaveGate(err error) {
	if r.leave != nil {
		r.leave(err)
		r.leave = nil
	}
}

// expired reports whether the request may not be submitted any more.
func (r *run) expired() bool {
	return !r.req.ExpiresAt.IsZero() && !time.Now().Before(r.req.ExpiresAt)
}

// post submits the task and records the answer. Neither is cut short by a shutdown: an answer that is
// not recorded is a workflow that is lost.
func (r *run) post(ctx context.Context) error {
	ctxPost := context.WithoutCancel(ctx)
	if err := r.stillOwner(ctxPost); err != nil { // the record's writing may have waited out an outage
		return err
	}
	id, err := r.callAPI(ctxPost)
	r.leaveGate(err)
	if err == nil {
		return r.recordAccepted(ctxPost, id)
	}
	refusal, ok := errors.AsType[*task.SubmitError](err)
	if !ok {
		refusal = &task.SubmitError{Outcome: task.Unknown, Message: err.Error()}
	}
	r.log.Warn().Str("task", r.rec.TaskID).Int("attempt", r.rec.Attempts).Int("status", refusal.HTTPStatus).
		Str("reason", string(refusal.Reason)).Msg("submission was not accepted")
	switch {
	case refusal.Outcome == task.Refused || r.forbiddenForGood(refusal):
		r.fail(task.Rejected, "the API refused it: "+refusal.Error())
		return nil
	case refusal.Outcome == task.NotNow:
		return r.await(ctxPost, "")
	default:
		return r.submissionUnknown(ctx, refusal.Error())
	}
}

func (r *run) recordAccepted(ctx context.Context, workflowID string) error {
	rec := r.rec
	rec.State, rec.WorkflowID, rec.SubmittedAt = task.Running, workflowID, time.Now().UTC()
	rec, err := r.tracker.Save(ctx, rec)
	if err != nil {
		r.log.Error().Err(err).Str("task", rec.TaskID).Str("workflow", workflowID).Msg("workflow was started and not recorded")
		return err
	}
	r.rec = rec
	r.metrics.queued.Observe(rec.SubmittedAt.Sub(rec.RequestedAt).Seconds())
	r.log.Debug().Str("task", rec.TaskID).Str("workflow", workflowID).Int("attempt", rec.Attempts).Msg("task was submitted")
	return nil
}

// await records that the task is known not to be submitted. A code notes what it has met before.
func (r *run) await(ctx context.Context, met task.Code) error {
	rec := r.rec
	rec.State = task.Waiting
	if met != "" {
		rec.ErrorCode = met
	}
	rec, err := r.tracker.Save(ctx, rec)
	if err != nil {
		return err
	}
	r.rec = rec
	return nil
}

// forbiddenForGood reports whether a 403 is the task's own: it has met several, while the API accepted
// other tasks of this worker.
func (r *run) forbiddenForGood(e *task.SubmitError) bool {
	if e.HTTPStatus != http.StatusForbidden {
		return false
	}
	r.forbidden++
	if r.forbidden == 1 {
		r.acceptedBefore = r.gate.Accepted()
	}
	return r.forbidden >= forbiddenLimit && r.gate.Accepted() > r.acceptedBefore
}

// submissionUnknown ends a task of which nobody knows whether the API accepted it, or sends it once more
// where its request asked for that.
func (r *run) submissionUnknown(ctx context.Context, why string) error {
	if !r.req.Resubmit || r.rec.UnknownOnce() {
		r.fail(task.SubmissionUnknown, "the API may or may not have accepted it: "+why)
		return nil
	}
	if err := r.await(context.WithoutCancel(ctx), task.SubmissionUnknown); err != nil {
		return err
	}
	return sleep(ctx, resubmitWait/2+rand.N(resubmitWait))
}
