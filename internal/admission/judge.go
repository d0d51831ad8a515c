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
	// streakLimit is how many outcomes of one kind pause submissions.
	streakLimit = 5

	// sessionLimit is how many different sessions have to meet a 403 to pause the requests with a session.
	sessionLimit = 3

	// shortPause is the longest pause for answers that can be the tasks' own fault.
	shortPause = 5 * time.Second
)

// kind is a kind of outcome that ends a task.
type kind struct {
	outcome task.SubmitErrorKind
	status  int  // of a refusal
	session bool // the refused request names a session
}

// streaks count the outcomes since a submission was accepted.
type streaks struct {
	ended     map[kind]int
	forbidden map[string]struct{} // sessions that met a 403, no more than sessionLimit
}

func newStreaks() streaks {
	return streaks{ended: map[kind]int{}, forbidden: map[string]struct{}{}}
}

// judge draws the conclusion from what came of a submission.
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
	case reason != "":
		a.pause(a.all, s.all, reason, failure.RetryAfter, 0)
		a.sessions.Unused(s.sessions)
	case !current: // old news
		a.sessions.Unused(s.sessions)
	case err == nil:
		a.acceptedOne(s)
	case errors.Is(err, task.ErrNotSubmitted):
		a.unused(s)
	case failure.Kind == task.NotNow:
		a.forbiddenSession(s, failure)
	default:
		a.endedOne(s, failure)
	}
}

// acceptedOne starts the count of what went before over, and ends the pause.
func (a *Admission) acceptedOne(s submission) {
	a.streaks = newStreaks()
	if reason, closed := a.all.Succeed(s.all); closed {
		a.resumed(reason)
	}
	if reason, closed := a.sessions.Close(); closed {
		a.resumed(reason)
	}
}

// endedOne counts a refusal or an unknown outcome. Too many of one kind pause the submissions that may be
// concerned; otherwise a refusal shows that the API judges tasks.
func (a *Admission) endedOne(s submission, failure *task.SubmitError) {
	k, reason, longest := kind{outcome: task.Unknown}, task.Failing, time.Duration(0)
	if failure.Kind == task.Refused {
		k, reason = kind{outcome: task.Refused, status: failure.HTTPStatus, session: s.session != ""}, task.Refusing
		longest = longestPause(k)
	}
	a.streaks.ended[k]++
	switch {
	case a.streaks.ended[k] < streakLimit && reason == task.Failing:
		a.unused(s)
	case a.streaks.ended[k] < streakLimit:
		a.answered(s)
	case k.session:
		a.pause(a.sessions, s.sessions, reason, failure.RetryAfter, longest)
		a.all.Unused(s.all)
	default:
		a.pause(a.all, s.all, reason, failure.RetryAfter, longest)
		a.sessions.Unused(s.sessions)
	}
}

// forbiddenSession takes in a 403 that can be about the request's session.
func (a *Admission) forbiddenSession(s submission, failure *task.SubmitError) {
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

// answered takes in that the API refused one task, as it may.
func (a *Admission) answered(s submission) {
	if reason, closed := a.all.Answer(s.all); closed {
		a.resumed(reason)
	}
	if reason, closed := a.sessions.Answer(s.sessions); closed {
		a.resumed(reason)
	}
}

// unused passes the right to probe on.
func (a *Admission) unused(s submission) {
	a.all.Unused(s.all)
	a.sessions.Unused(s.sessions)
}

// longestPause is the longest pause for refusals of that kind, 0 for that of the breaker. See the package's
// comment.
func longestPause(k kind) time.Duration {
	switch k.status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return shortPause
	default:
		return 0
	}
}

// pause opens a breaker, or keeps it open until a later moment where the submission left before it opened.
func (a *Admission) pause(b *breaker.Breaker, ticket breaker.Ticket, reason task.Reason, asked, longest time.Duration) {
	wait, opened := b.Open(ticket, reason, asked, longest)
	if !opened {
		return
	}
	a.metrics.pauses.WithLabelValues(string(reason)).Inc()
	level, session := levelOf(reason), b == a.sessions
	if session {
		level = zerolog.WarnLevel
	}
	a.log.WithLevel(level).Str("reason", string(reason)).Bool("session", session).Stringer("wait", wait).Msg("submissions paused")
}

func (a *Admission) resumed(reason task.Reason) {
	a.log.Info().Str("reason", string(reason)).Msg("submissions resumed")
}

// levelOf is Error where waiting does not help and a person must look.
func levelOf(reason task.Reason) zerolog.Level {
	switch reason {
	case task.Unauthorized, task.NoCredits, task.Forbidden, task.ProxyLogin:
		return zerolog.ErrorLevel
	default:
		return zerolog.WarnLevel
	}
}
