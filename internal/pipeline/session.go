package pipeline

import (
	"context"
	"math/rand/v2"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/task"
)

// With SESSIONS=on, each run of a task has a browser session of its own. Its id is in the record before the POST, so that
// whoever has the task can end it, and with it the browser and the workflow.
//
// A session that no record names is harmless: nothing runs in it. It ends with its task, or by its idle timeout.

// Sessions creates and ends browser sessions.
type Sessions interface {
	// Create creates a session, or returns a *task.SubmitError.
	Create(ctx context.Context, request task.SessionRequest) (task.NewSession, error)
	// Gone reports whether the API says that a session has ended, or that it does not know it. The error is that it says
	// nothing for a while.
	Gone(ctx context.Context, id string) (bool, error)
	// End ends a session, and returns what the API says about it then. It gives up after half a minute. The error is ctx's.
	End(ctx context.Context, id string) (task.SessionEnd, error)
	// Fence does the same, and waits until it is certain what the agent has done.
	Fence(ctx context.Context, id string) (task.SessionEnd, error)
	// Tagged returns the ids of the open sessions that have all of these tags, as far as the API lists them. The error is
	// ctx's.
	Tagged(ctx context.Context, tags ...string) (ids []string, err error)
	// EndAll ends sessions, as far as the API confirms it within half a minute. The error is ctx's.
	EndAll(ctx context.Context, ids []string) error
}

// mostGone is how many sessions of a run may end by themselves right before their POST.
const mostGone = 3

// sessions is what a run knows of its task's sessions beside the record.
type sessions struct {
	created time.Time // when this run created the one that the record names, by the wall clock; zero if it did not
	gone    int       // how many had ended before their POST
	lost    int       // how many creations had an unknown outcome
	strayed bool      // there may be sessions that the record does not name
}

// createsSession reports whether the task is to run in a session that Capstan creates.
func (r *run) createsSession() bool { return r.cfg.Sessions && r.req.SessionID == "" }

// ownSession returns the session that Capstan has created for the run and has not ended yet, or "".
func (r *run) ownSession(rec *task.Record) string {
	if rec.SessionEnded != nil {
		return ""
	}
	return r.created(rec)
}

// created returns the session that Capstan has created for the run, ended or not, or "".
func (r *run) created(rec *task.Record) string {
	if r.req.SessionID != "" {
		return ""
	}
	return rec.SessionID
}

// isStale reports whether the run has a session that may have ended by itself. It cannot be told from every answer whether
// a POST into such a session was accepted.
func (r *run) isStale(rec *task.Record) bool {
	return r.ownSession(rec) != "" && time.Since(r.sessions.created) >= r.cfg.SessionFresh
}

// openSession returns the record with the session for the next POST. The record is not written yet. If the API created none,
// the slot is released, and the run has no slot then.
func (r *run) openSession(ctx context.Context, rec *task.Record) (*task.Record, *task.Verdict, error) {
	rec, err := r.endStale(ctx, rec)
	if err != nil || r.ownSession(rec) != "" {
		return rec, nil, err
	}
	next := withoutSession(rec)
	if !r.createsSession() {
		next.SessionID = r.req.SessionID
		return next, nil, nil
	}
	session, err := r.createSession(ctx)
	if err == nil {
		next.SessionID, r.sessions.created = session.ID, time.Now().Round(0)
		if r.cfg.LiveView {
			next.LiveView = string(session.LiveView)
		}
		return next, nil, nil
	}
	r.releaseSlot(err)
	return r.withoutNewSession(ctx, next, asSubmitError(err))
}

// endStale ends a session that must not be used any more: left open, it would take a browser of the plan for some minutes.
func (r *run) endStale(ctx context.Context, rec *task.Record) (*task.Record, error) {
	if !r.isStale(rec) {
		return rec, nil
	}
	end, err := r.Sessions.End(ctx, rec.SessionID)
	return r.withEnd(rec, end, err), err
}

// endUnused ends the session that this run has created if no record may name it. No POST was sent into it.
func (r *run) endUnused(ctx context.Context, rec *task.Record) {
	if id := r.ownSession(rec); id != "" && !r.sessions.created.IsZero() {
		_, _ = r.Sessions.End(ctx, id)
	}
}

// createSession creates the session, in a span. A shutdown interrupts it: a session that nobody knows of does no harm.
func (r *run) createSession(ctx context.Context) (session task.NewSession, err error) {
	ctx, end := r.beginSpan(ctx, "create session", trace.SpanKindClient)
	defer func() { end(err) }()
	request := r.req.NewSession()
	request.Tags = append(request.Tags, requestTag(r.req.Delivery.Stored))
	request.ReadOnlyView = r.cfg.LiveView
	return r.Sessions.Create(ctx, request)
}

// withoutNewSession decides about a task for which the API has not created a session. It is not submitted.
func (r *run) withoutNewSession(ctx context.Context, rec *task.Record, refusal *task.SubmitError) (*task.Record, *task.Verdict, error) {
	r.log.Warn().Str("task", rec.TaskID).Int("status", refusal.HTTPStatus).Str("reason", string(refusal.Reason)).Msg("session not created")
	switch {
	case refusal.Kind == task.Refused || r.refusedForGood(refusal):
		return rec, failed(rec, task.Rejected, "the API refused its browser session: "+refusal.Error()), nil
	case refusal.Kind == task.NotNow:
		return rec, nil, nil
	default:
		longest := resubmitWait << min(r.sessions.lost, mostDoubled)
		r.sessions.strayed, r.sessions.lost = true, r.sessions.lost+1
		return rec, nil, r.rest(ctx, longest/2+rand.N(longest))
	}
}

// isGone reports whether the API refused a POST because the run's session had ended by itself: which answer it gives then is
// not documented. The task can be submitted in another session. A refusal that ends the task needs the API's word that the
// session is there, so without it isGone returns true as well.
func (r *run) isGone(ctx context.Context, rec *task.Record, refusal *task.SubmitError) bool {
	id := r.ownSession(rec)
	isRefusal := refusal.Kind == task.Refused || refusal.HTTPStatus == http.StatusUnauthorized || refusal.HTTPStatus == http.StatusForbidden
	if id == "" || !isRefusal {
		return false
	}
	gone, err := r.Sessions.Gone(ctx, id)
	if !gone && err != nil && (refusal.Kind == task.Refused || ctx.Err() != nil) {
		gone, r.sessions.strayed = true, true // it may be there
	}
	if gone {
		r.sessions.gone++
	}
	return gone
}

// withoutSession returns a copy of the record without its session. What ended sessions have used stays.
func withoutSession(rec *task.Record) *task.Record {
	next := *rec
	next.SessionID, next.SessionEnded, next.LiveView = "", nil, ""
	return &next
}
