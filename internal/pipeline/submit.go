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
	// ownLimit is how many 403s of one task make it rejected, where they are its own.
	ownLimit = 3

	// A task whose own session is refused waits before it tries again: about firstOwnWait, and twice as long each
	// further time.
	firstOwnWait = time.Second

	// resubmitWait is about how long a submission of unknown outcome waits for its one repetition.
	resubmitWait = time.Second

	// startWithin is how long after the record said submitting a POST may begin. The record is written again
	// before one that begins later, so that it always names a time at which the POST is over.
	startWithin = 5 * time.Second
)

// submit starts the task's workflow, unless its record names one already, and returns the record of the running
// task, or the outcome of one that does not run. Whatever can make a submission wait is waited for before the record
// says submitting: the outcome can be unknown only from then on.
func (r *run) submit(ctx context.Context, rec *task.Record) (*task.Record, *outcome, error) {
	r.enterStep(stepSubmit)
	if rec.State != task.Running {
		r.line.join(r)
		defer r.line.leave(r)
	}
	var out *outcome
	var err error
	for out == nil && err == nil {
		switch {
		case rec.State == task.Running:
			r.req.Body = nil // the wait may be long, and the body large
			r.req.Delivery.ReportSize(r.req.KeptSize())
			return rec, nil, nil
		case rec.State == task.Waiting:
			r.stepForward(ctx) // the request was read, and did no harm
			rec, out, err = r.admit(ctx, rec)
		case r.release == nil: // found after a crash
			rec, out, err = r.unknown(ctx, rec, "the worker that submitted it did not record the answer, or its record was lost")
		default:
			rec, out, err = r.post(ctx, rec)
		}
	}
	return rec, out, err
}

// admit waits until the submission may leave, and then writes that into the record.
func (r *run) admit(ctx context.Context, rec *task.Record) (*task.Record, *outcome, error) {
	err := r.acquire(ctx, 0)
	if r.expired() {
		r.releasePlace(task.ErrNotSubmitted)
		return rec, failed(rec, task.Expired, "expires_at, "+r.req.ExpiresAt.Format(time.RFC3339Nano)+", had passed before it could be submitted"), nil
	}
	if err != nil {
		return rec, nil, err
	}
	rec, err = r.advance(ctx, r.submitting(*rec))
	if err != nil {
		r.releasePlace(task.ErrNotSubmitted)
	}
	return rec, nil, err
}

// submitting returns the record as it is written before a POST.
func (r *run) submitting(rec task.Record) task.Record {
	rec.State = task.Submitting
	rec.Attempts++
	rec.PostUntil = r.cfg.Clock.Now().Add(r.cfg.PostTimeout)
	return rec
}

// acquire waits for a place no longer than that (0: no bound) nor beyond expires_at.
func (r *run) acquire(ctx context.Context, longest time.Duration) error {
	if longest > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longest)
		defer cancel()
	}
	if !r.req.ExpiresAt.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.req.ExpiresAt.Sub(r.cfg.Clock.Now()))
		defer cancel()
	}
	release, err := r.Admission.Acquire(ctx, r.req.SessionID)
	if err != nil {
		return err
	}
	r.release = release
	return nil
}

// releasePlace gives back the place among the submissions, where this run has one, with what came of its submission.
func (r *run) releasePlace(came error) {
	if r.release != nil {
		r.release(came)
		r.release = nil
	}
}

// expired reports whether the request may no longer be submitted, by the server's clock.
func (r *run) expired() bool {
	return !r.req.ExpiresAt.IsZero() && !r.cfg.Clock.Now().Before(r.req.ExpiresAt)
}

// post submits the task and records the answer. Neither is cut short by a shutdown: an answer that is
// not recorded is a workflow that is lost.
func (r *run) post(ctx context.Context, rec *task.Record) (*task.Record, *outcome, error) {
	ctxPost := context.WithoutCancel(ctx)
	rec, err := r.announced(ctxPost, rec)
	if err != nil {
		return rec, nil, err
	}
	id, err := r.callAPI(ctxPost)
	r.releasePlace(err)
	if err == nil {
		rec, err = r.recordAccepted(ctxPost, rec, id)
		return rec, nil, err
	}
	refusal, ok := errors.AsType[*task.SubmitError](err)
	if !ok {
		refusal = &task.SubmitError{Kind: task.Unknown, Message: err.Error()}
	}
	r.log.Warn().Str("task", rec.TaskID).Int("attempt", rec.Attempts).Int("status", refusal.HTTPStatus).
		Str("reason", string(refusal.Reason)).Msg("submission not accepted")
	switch {
	case refusal.Kind == task.Refused || r.refusedForGood(refusal):
		return rec, failed(rec, task.Rejected, "the API refused it: "+refusal.Error()), nil
	case refusal.Kind == task.NotNow:
		rec, err = r.await(ctxPost, rec, rec.ErrorCode)
		if err == nil {
			err = sleep(ctx, r.ownWait(refusal))
		}
		return rec, nil, err
	default:
		return r.unknown(ctx, rec, refusal.Error())
	}
}

// announced returns the record as it stands before the POST. Writing it may have waited out an outage: then it is
// confirmed and written once more.
func (r *run) announced(ctx context.Context, rec *task.Record) (*task.Record, error) {
	rec, err := r.confirm(ctx, rec)
	for err == nil && r.cfg.Clock.Now().After(rec.PostUntil.Add(startWithin-r.cfg.PostTimeout)) {
		next := *rec
		next.PostUntil = r.cfg.Clock.Now().Add(r.cfg.PostTimeout)
		rec, err = r.save(ctx, next)
	}
	return rec, err
}

func (r *run) recordAccepted(ctx context.Context, rec *task.Record, workflowID string) (*task.Record, error) {
	next := *rec
	next.State, next.WorkflowID, next.PostUntil = task.Running, workflowID, time.Time{}
	next.SubmittedAt = later(r.cfg.Clock.Now(), rec.RequestedAt)
	rec, err := r.advance(ctx, next)
	if err != nil {
		r.log.Error().Err(err).Str("task", rec.TaskID).Str("workflow", workflowID).Msg("workflow started but not recorded")
		return rec, err
	}
	r.metrics.queued.Observe(rec.SubmittedAt.Sub(rec.RequestedAt).Seconds())
	r.log.Debug().Str("task", rec.TaskID).Str("workflow", workflowID).Int("attempt", rec.Attempts).Msg("task submitted")
	return rec, nil
}

// await records that the task is known not to be submitted. A code notes what it has met before.
func (r *run) await(ctx context.Context, rec *task.Record, met task.Code) (*task.Record, error) {
	next := *rec
	next.State, next.ErrorCode, next.PostUntil = task.Waiting, met, time.Time{}
	return r.advance(ctx, next)
}

// unknown ends a task of which it cannot be known whether the API accepted it, or sends it once more where its
// request allows that.
func (r *run) unknown(ctx context.Context, rec *task.Record, why string) (*task.Record, *outcome, error) {
	if !r.req.Resubmit || rec.UnknownOnce() {
		return rec, failed(rec, task.SubmissionUnknown, "the API may or may not have accepted it: "+why), nil
	}
	rec, err := r.await(context.WithoutCancel(ctx), rec, task.SubmissionUnknown)
	if err == nil {
		err = sleep(ctx, resubmitWait/2+rand.N(resubmitWait))
	}
	return rec, nil, err
}

// ownRefusals counts the answers to a task's submissions that may be everybody's or the task's own: a 403 (a limit of
// cost, or a session of another account), and a gateway's page (a gateway without a backend, or one that finds this
// request too large).
type ownRefusals struct {
	count          int
	acceptedBefore uint64 // submissions that the worker had accepted at the first of them
}

// refusedForGood counts an answer and reports whether they are the task's own: it has met several, and the API accepted other
// submissions of this worker in between or, where the task names a session, submissions are not paused for it.
func (r *run) refusedForGood(e *task.SubmitError) bool {
	if e.HTTPStatus != http.StatusForbidden && e.Reason != task.NotTheAPI {
		return false
	}
	r.own.count++
	if r.own.count == 1 {
		r.own.acceptedBefore = r.Admission.Accepted()
	}
	if r.own.count < ownLimit {
		return false
	}
	_, _, paused := r.Admission.Paused()
	return r.Admission.Accepted() > r.own.acceptedBefore || r.concernsSession(e) && !paused
}

// ownWait is how long the task waits before it tries again: where its own session was refused, longer each time. All
// others wait with the rest of the submissions.
func (r *run) ownWait(e *task.SubmitError) time.Duration {
	if !r.concernsSession(e) {
		return 0
	}
	longest := firstOwnWait << min(r.own.count-1, 6)
	return longest/2 + rand.N(longest)
}

func (r *run) concernsSession(e *task.SubmitError) bool {
	return e.HTTPStatus == http.StatusForbidden && r.req.SessionID != ""
}
