package admission

import (
	"errors"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/breaker"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// streakLimit is how many outcomes of one kind in a row pause submissions.
	streakLimit = 5

	// sessionLimit is how many different sessions must meet a 403 to pause the requests with a session.
	sessionLimit = 3

	// shortPause bounds the pauses for answers that can be the tasks' own fault.
	shortPause = 5 * time.Second
)

// kind is a kind of outcome that ends its task.
type kind struct {
	outcome task.SubmitErrorKind
	status  int  // of a refusal
	session bool // the refused request names a session
}

// streaks count the outcomes since the last accepted submission.
type streaks struct {
	ended     map[kind]int
	forbidden map[string]struct{} // sessions that met a 403, at most sessionLimit
}

func newStreaks() streaks {
	return streaks{ended: map[kind]int{}, forbidden: map[string]struct{}{}}
}

// judge decides by the outcome of a submission whether a pause begins or ends.
func (a *Admission) judge(s submission, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	failure, ok := errors.AsType[*task.SubmitError](err)
	if err != nil && !ok {
		failure = &task.SubmitError{Kind: task.Unknown}
	}
	reason := breaker.OfSubmission(failure, s.session != "")
	current := a.all.Current(s.all)
	switch {
	case reason != "": // all submissions would get this answer
		opened := a.pause(a.all, s.all, reason, failure.RetryAfter, 0)
		a.notePlan(reason, failure, opened)
		a.sessions.Unused(s.sessions)
	case !current: // the answer is stale
		a.sessions.Unused(s.sessions)
	case err == nil:
		a.countAccepted(s)
	case errors.Is(err, task.ErrNotSubmitted):
		a.unused(s)
	case failure.Kind == task.NotNow:
		a.countForbidden(s, failure)
	default:
		a.countEnded(s, failure)
	}
}

// mayBeAccepted reports whether the API may count a submission with this outcome as one that it has accepted.
func mayBeAccepted(err error) bool {
	if failure, ok := errors.AsType[*task.SubmitError](err); ok {
		return failure.Kind == task.Unknown
	}
	return !errors.Is(err, task.ErrNotSubmitted)
}

// notePlan notes whether the plan's browsers or its starts are used up. opened reports whether this answer began a pause: what
// a stale one says is not why submissions are paused.
func (a *Admission) notePlan(reason task.Reason, failure *task.SubmitError, opened bool) {
	isLimit := reason == task.RateLimited
	isStart := failure.RetryAfter != 0 || failure.StartRate
	if opened {
		a.planIsFull.Store(isLimit && !isStart)
		a.planRefused.Store(isLimit && !isStart)
	}
	switch {
	case isLimit && isStart:
		a.metrics.refusals.WithLabelValues(ofStarts).Inc()
	case isLimit:
		a.metrics.refusals.WithLabelValues(ofBrowsers).Inc()
		a.planRefusals.Add(1)
	}
}

// countAccepted ends all streaks and pauses.
func (a *Admission) countAccepted(s submission) {
	a.streaks = newStreaks()
	if reason, closed := a.all.Succeed(s.all); closed {
		a.logResumed(reason)
	}
	if reason, closed := a.sessions.Close(); closed {
		a.logResumed(reason)
	}
}

// countEnded counts a refusal or an unknown outcome. Too many of one kind pause the submissions that they may concern.
// Before that, a refusal shows that the API judges tasks.
func (a *Admission) countEnded(s submission, failure *task.SubmitError) {
	k, reason, most := kind{outcome: task.Unknown}, task.Failing, time.Duration(0)
	if failure.Kind == task.Refused {
		k, reason = kind{outcome: task.Refused, status: failure.HTTPStatus, session: s.session != ""}, task.Refusing
		most = longestPauseOf(k)
	}
	a.streaks.ended[k]++
	switch {
	case a.streaks.ended[k] < streakLimit && reason == task.Failing:
		a.unused(s)
	case a.streaks.ended[k] < streakLimit:
		a.answered(s)
	case k.session:
		a.pause(a.sessions, s.sessions, reason, failure.RetryAfter, most)
		a.all.Unused(s.all)
	default:
		a.pause(a.all, s.all, reason, failure.RetryAfter, most)
		a.sessions.Unused(s.sessions)
	}
}

// countForbidden counts a 403 that can be about the request's session.
func (a *Admission) countForbidden(s submission, failure *task.SubmitError) {
	a.all.Unused(s.all) // it says nothing about requests without a session
	if len(a.streaks.forbidden) < sessionLimit {
		a.streaks.forbidden[s.session] = struct{}{}
	}
	if len(a.streaks.forbidden) < sessionLimit {
		a.sessions.Unused(s.sessions)
		return
	}
	a.pause(a.sessions, s.sessions, task.Forbidden, failure.RetryAfter, 0)
}

// answered reports to the breakers that the API judged a task.
func (a *Admission) answered(s submission) {
	if reason, closed := a.all.Answer(s.all); closed {
		a.logResumed(reason)
	}
	if reason, closed := a.sessions.Answer(s.sessions); closed {
		a.logResumed(reason)
	}
}

// unused reports to the breakers that the outcome says nothing about other submissions.
func (a *Admission) unused(s submission) {
	a.all.Unused(s.all)
	a.sessions.Unused(s.sessions)
}

// longestPauseOf returns the longest pause for refusals of a kind, or 0 for the breaker's. See the package's comment.
func longestPauseOf(k kind) time.Duration {
	switch k.status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return shortPause
	default:
		return 0
	}
}

// pause opens a breaker, or extends its open time if the submission left before it opened. It reports whether it opened it.
func (a *Admission) pause(b *breaker.Breaker, ticket breaker.Ticket, reason task.Reason, asked, most time.Duration) (opened bool) {
	wait, opened := b.Open(ticket, reason, asked, most)
	if !opened {
		return false
	}
	a.metrics.pauses.WithLabelValues(string(reason)).Inc()
	level, session := levelOf(reason), b == a.sessions
	if session {
		level = zerolog.WarnLevel
	}
	a.log.WithLevel(level).Str("reason", string(reason)).Bool("session", session).Stringer("wait", wait).Msg("submissions paused")
	return true
}

func (a *Admission) logResumed(reason task.Reason) {
	a.log.Info().Str("reason", string(reason)).Msg("submissions resumed")
}

// levelOf returns the log level of a pause: Error if waiting does not help and a person must act.
func levelOf(reason task.Reason) zerolog.Level {
	switch reason {
	case task.Unauthorized, task.NoCredits, task.Forbidden, task.ProxyLogin:
		return zerolog.ErrorLevel
	default:
		return zerolog.WarnLevel
	}
}
