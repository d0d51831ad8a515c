package pipeline

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// resubmitWait is about how long a submission of unknown outcome waits for its one repetition.
	resubmitWait = time.Second

	// startWithin is how long after the record said submitting a POST may begin. Before a later one the record is
	// written again, so that it always names a time at which the POST is over.
	startWithin = 5 * time.Second
)

// submit starts the task's workflow, unless its record names one already. It returns the record of the running task,
// or the verdict on one that ends without a workflow. Everything that can delay a submission comes before the record
// says submitting: only from then on can the outcome be unknown.
func (r *run) submit(ctx context.Context, rec *task.Record) (*task.Record, *task.Verdict, error) {
	r.enterStep(stepSubmit)
	var verdict *task.Verdict
	var err error
	for verdict == nil && err == nil {
		switch {
		case rec.State == task.Running:
			r.submitted(rec)
			return rec, nil, nil
		case rec.State == task.Waiting:
			// It is not submitted. Its request was read and did no harm, so it is not poisoned.
			r.resetCount(ctx)
			rec, verdict, err = r.admit(ctx, rec)
		case r.slot == nil:
			// A worker died between the record and the answer, or the record was lost.
			rec, verdict, err = r.unknown(ctx, rec, "the worker that submitted it did not record the answer, or its record was lost")
		default:
			// The record says submitting, and this run has a slot.
			rec, verdict, err = r.post(ctx, rec)
		}
	}
	return rec, verdict, err
}

// submitted drops what the wait for a workflow does not need: it may be long, and the body large.
func (r *run) submitted(rec *task.Record) {
	r.kind = r.req.KindOf(rec.Run)
	r.redactReferences(rec)
	if rec.Run >= r.req.MaxRetries { // it is the last run
		r.req.Body, r.secrets = nil, nil
	}
	r.req.Delivery.ReportSize(r.req.KeptSize())
}

// kindOf returns the kind of the run that the record is in.
func (r *run) kindOf(rec *task.Record) string {
	if rec.WorkflowID != "" { // submitted may have dropped what the kind follows from
		return r.kind
	}
	return r.req.KindOf(rec.Run)
}

// asSubmitting returns the record as it is written before a POST.
func (r *run) asSubmitting(rec task.Record) task.Record {
	rec.State, rec.WaitsFor, rec.WaitsUntil = task.Submitting, "", time.Time{}
	rec.Attempts++
	rec.PostUntil = r.cfg.Clock.Now().Add(r.cfg.PostTimeout)
	return rec
}

// post submits the task and records the answer. A shutdown interrupts neither: a workflow whose answer is not recorded
// is lost.
func (r *run) post(ctx context.Context, rec *task.Record) (*task.Record, *task.Verdict, error) {
	ctxPost := context.WithoutCancel(ctx) // the API's client and the tracker bound their calls
	rec, withheld, err := r.announce(ctxPost, rec)
	if err != nil {
		return rec, nil, err
	}
	if withheld {
		return r.withhold(ctxPost, rec)
	}
	r.posted = true
	id, err := r.callAPI(ctxPost, rec.SessionID, r.body(rec))
	if err == nil {
		r.releaseSlot(nil)
		rec, err = r.saveRunning(ctxPost, rec, id)
		return rec, nil, err
	}
	refusal := asSubmitError(err)
	isGone := r.isGone(ctx, rec, refusal)
	if isGone { // the answer says nothing about other tasks
		err = task.ErrNotSubmitted
	}
	r.releaseSlot(err)
	r.log.Warn().Str("task", rec.TaskID).Int("attempt", rec.Attempts).Int("status", refusal.HTTPStatus).
		Str("reason", string(refusal.Reason)).Msg("submission not accepted")
	switch {
	case isGone && r.sessions.gone <= mostGone:
		rec, err = r.saveWaiting(ctxPost, withoutSession(rec), rec.ErrorCode)
		return rec, nil, err
	case isGone || refusal.Kind == task.Refused || r.refusedForGood(refusal):
		return rec, failed(rec, task.Rejected, "the API refused it: "+refusal.Error()), nil
	case refusal.Kind == task.NotNow:
		rec, err = r.saveWaiting(ctxPost, rec, rec.ErrorCode)
		if err == nil {
			err = r.rest(ctx, r.ownWait(refusal))
		}
		return rec, nil, err
	default:
		return r.unknown(ctx, rec, refusal.Error())
	}
}

// withhold takes back the announcement of a submission that has not begun.
func (r *run) withhold(ctx context.Context, rec *task.Record) (*task.Record, *task.Verdict, error) {
	r.releaseSlot(task.ErrNotSubmitted)
	unsent := *rec
	unsent.Attempts--
	rec, err := r.saveWaiting(ctx, &unsent, rec.ErrorCode)
	return rec, nil, err
}

// announce returns the record as it is right before the POST, or withheld if the task must not be submitted any more. The
// record's write and both checks may have taken as long as an outage of NATS: then the run announces the POST again.
func (r *run) announce(ctx context.Context, rec *task.Record) (_ *task.Record, withheld bool, err error) {
	for {
		if rec, err = r.confirm(ctx, rec); err != nil {
			return rec, false, err
		}
		if _, canceled := r.canceled(ctx); canceled || r.expired(rec.Run) || r.isStale(rec) {
			return rec, true, nil
		}
		if !r.cfg.Clock.Now().After(rec.PostUntil.Add(startWithin - r.cfg.PostTimeout)) {
			return rec, false, nil
		}
		next := *rec
		next.PostUntil = r.cfg.Clock.Now().Add(r.cfg.PostTimeout)
		if rec, err = r.save(ctx, next); err != nil {
			return rec, false, err
		}
	}
}

// saveRunning records the workflow of an accepted submission.
func (r *run) saveRunning(ctx context.Context, rec *task.Record, workflowID string) (*task.Record, error) {
	next := *rec
	next.State, next.WorkflowID, next.PostUntil = task.Running, workflowID, time.Time{}
	next.SubmittedAt = notBefore(r.cfg.Clock.Now(), rec.RequestedAt)
	rec, err := r.advance(ctx, next)
	if err != nil {
		r.log.Error().Err(err).Str("task", rec.TaskID).Str("workflow", workflowID).Msg("workflow started but not recorded")
		return rec, err
	}
	r.metrics.queued.Observe(rec.SubmittedAt.Sub(rec.RequestedAt).Seconds())
	r.log.Debug().Str("task", rec.TaskID).Str("workflow", workflowID).Int("attempt", rec.Attempts).Msg("task submitted")
	return rec, nil
}

// saveWaiting records that the task is not submitted. code is task.SubmissionUnknown if an earlier submission had an
// unknown outcome.
func (r *run) saveWaiting(ctx context.Context, rec *task.Record, code task.Code) (*task.Record, error) {
	next := *rec
	next.State, next.ErrorCode, next.PostUntil = task.Waiting, code, time.Time{}
	rec, err := r.advance(ctx, next)
	if err == nil {
		r.posted = false
	}
	return rec, err
}

// unknown ends a task if it cannot be known whether the API accepted it, or repeats the submission once: if the request
// allows that, or if the run's session shows that the agent took no step and none will follow.
func (r *run) unknown(ctx context.Context, rec *task.Record, why string) (*task.Record, *task.Verdict, error) {
	rec, end, err := r.fence(ctx, rec)
	if err != nil {
		return rec, nil, err
	}
	next, code := withoutSession(rec), rec.ErrorCode
	switch {
	case r.req.OnUnknown == task.Resubmit && !rec.UnknownOnce():
		code = task.SubmissionUnknown
	case r.req.OnUnknown == task.Fence && !rec.Fenced && !rec.UnknownOnce() && end.NeverActed():
		next.Fenced = true
	default:
		if end != (task.SessionEnd{}) {
			why += "; " + end.String()
		}
		return rec, failed(rec, task.SubmissionUnknown, "the API may or may not have accepted it: "+why), nil
	}
	rec, err = r.saveWaiting(context.WithoutCancel(ctx), next, code)
	if err == nil {
		err = r.rest(ctx, resubmitWait/2+rand.N(resubmitWait))
	}
	return rec, nil, err
}

// failed returns the verdict on a task that ends without a workflow's answer. If an earlier POST had an unknown
// outcome, the task stays submission_unknown whatever the second POST did.
func failed(rec *task.Record, code task.Code, message string) *task.Verdict {
	if rec.UnknownOnce() && code != task.SubmissionUnknown {
		code, message = task.SubmissionUnknown, "the API may or may not have accepted it the first time, and then: "+message
	}
	return &task.Verdict{Error: task.NewError(code, message)}
}

// asSubmitError returns the error of a call that must not be repeated. Any error of another kind leaves its outcome open.
func asSubmitError(err error) *task.SubmitError {
	if refusal, ok := errors.AsType[*task.SubmitError](err); ok {
		return refusal
	}
	return &task.SubmitError{Kind: task.Unknown, Message: err.Error()}
}
