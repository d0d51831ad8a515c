// Package session creates the browser sessions of tasks and ends them.
//
// Ending a session ends its browser and whatever runs in it. The API confirms the end in its answer, and its word counts as
// the end of the session. It documents neither how soon the browser has gone nor when the figures of a session are final.
// So [Sessions.Fence], on which it depends whether a task is run a second time, believes figures only if the session is
// gone and they have not changed for a while.
package session

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// API is the part of Anchor's API that is about sessions. The errors are *task.SessionError but for CreateSession, whose
// errors are *task.SubmitError.
type API interface {
	CreateSession(ctx context.Context, request task.SessionRequest) (task.NewSession, error)
	Session(ctx context.Context, id string) (task.Session, error)
	EndSession(ctx context.Context, id string) error
	FindSessions(ctx context.Context, tags ...string) ([]task.Session, error)
}

// Waits are how long the calls go on.
type Waits struct {
	End    time.Duration // for the API's word that a session has ended
	Look   time.Duration // for the API's word about a session that may have ended by itself
	Settle time.Duration // for which the figures of a session must stay the same to count as final
	Retry  time.Duration // before the first repetition of a call; the waits grow
}

// DefaultWaits returns the waits of a worker.
func DefaultWaits() Waits {
	return Waits{End: 30 * time.Second, Look: 5 * time.Second, Settle: 15 * time.Second, Retry: 500 * time.Millisecond}
}

// longestRetry bounds the wait before a repetition, as a multiple of the first.
const longestRetry = 10

// mostCalls is how many calls may be under way at once, except for those that create sessions: admission bounds them.
const mostCalls = 32

// Sessions creates and ends sessions. Its methods may be called by many goroutines at once.
type Sessions struct {
	api   API
	waits Waits
	limit *rate.Limiter // of all calls to the API
	calls *semaphore.Weighted
	log   zerolog.Logger
}

// New returns Sessions of an account. Each call takes a token of limit, which submissions and polls may share.
func New(api API, waits Waits, limit *rate.Limiter, log zerolog.Logger) *Sessions {
	return &Sessions{api: api, waits: waits, limit: limit, calls: semaphore.NewWeighted(mostCalls), log: log}
}

// Create creates a session. The error is a *task.SubmitError: its Kind says whether there may be a session nevertheless.
func (s *Sessions) Create(ctx context.Context, request task.SessionRequest) (task.NewSession, error) {
	if err := s.limit.Wait(ctx); err != nil {
		return task.NewSession{}, &task.SubmitError{Kind: task.NotNow, Reason: task.Unreachable, Message: err.Error()}
	}
	return s.api.CreateSession(ctx, request)
}

// Gone reports whether the API says that a session has ended, or that it does not know it. The error is why the API said
// nothing about it within Waits.Look.
func (s *Sessions) Gone(ctx context.Context, id string) (gone bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.waits.Look)
	defer cancel()
	err = s.repeat(ctx, func() error {
		found, err := s.api.Session(ctx, id)
		if gone = saysEnded(found, err); gone {
			return nil
		}
		return err
	})
	return gone, err
}

// End ends a session and asks once what it has used. It gives up after Waits.End, and then says why. The error is ctx's.
func (s *Sessions) End(ctx context.Context, id string) (task.SessionEnd, error) {
	endCtx, cancel := context.WithTimeout(ctx, s.waits.End)
	defer cancel()
	end := s.end(endCtx, id)
	if ctx.Err() != nil {
		return task.SessionEnd{}, ctx.Err()
	}
	if !end.Confirmed {
		return end, nil
	}
	if found, err := s.look(endCtx, id); err == nil {
		end.Steps, end.Credits = found.Steps, found.Credits
	}
	return end, ctx.Err()
}

// Fence ends a session like End, and then waits until its browser has gone and its figures have not changed for
// Waits.Settle. If the API does not say so within Waits.End, the end is not Final. The error is ctx's.
func (s *Sessions) Fence(ctx context.Context, id string) (task.SessionEnd, error) {
	end, err := s.End(ctx, id)
	if err != nil || !end.Confirmed {
		return end, err
	}
	settleCtx, cancel := context.WithTimeout(ctx, s.waits.End+s.waits.Settle)
	defer cancel()
	var last *int       // the steps that the API said last
	var since time.Time // when it first said so
	retry := s.retries()
	for {
		asked := time.Now() // a slow answer may be as old as the question
		found, err := s.look(settleCtx, id)
		switch {
		case err != nil || !found.Ended() || found.Steps == nil:
			since = time.Time{}
		case since.IsZero() || *found.Steps != *last:
			since = time.Now()
		}
		if err == nil {
			last = found.Steps
			// A step that was seen once was taken, whatever the API says later.
			end.Steps = larger(end.Steps, last)
			if found.Credits != nil {
				end.Credits = found.Credits
			}
		}
		if end.Final = !since.IsZero() && asked.Sub(since) >= s.waits.Settle; end.Final {
			return end, nil
		}
		if timer.Sleep(settleCtx, retry.NextBackOff(), nil) != nil {
			return end, ctx.Err()
		}
	}
}

// larger returns the larger of two numbers that may not be known.
func larger(a, b *int) *int {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

// Tagged returns the ids of the open sessions that have all of these tags, as far as the API lists them. It gives up after
// Waits.End, and logs that. The error is ctx's.
func (s *Sessions) Tagged(ctx context.Context, tags ...string) (ids []string, err error) {
	findCtx, cancel := context.WithTimeout(ctx, s.waits.End)
	defer cancel()
	var found []task.Session
	if err := s.repeat(findCtx, func() (err error) {
		found, err = s.api.FindSessions(findCtx, tags...)
		return err
	}); err != nil && ctx.Err() == nil {
		s.log.Warn().Strs("tags", tags).Msg("sessions could not be listed, any others of the task end by themselves")
	}
	for _, each := range found {
		if !each.Ended() {
			ids = append(ids, each.ID)
		}
	}
	return ids, ctx.Err()
}

// EndAll ends sessions, within Waits.End together. What cannot be ended is logged: it ends by itself. The error is ctx's.
func (s *Sessions) EndAll(ctx context.Context, ids []string) error {
	endCtx, cancel := context.WithTimeout(ctx, s.waits.End)
	defer cancel()
	for _, id := range ids {
		if end := s.end(endCtx, id); !end.Confirmed && ctx.Err() == nil {
			s.log.Warn().Str("session", id).Msg("end of session not confirmed, it ends by itself")
		}
	}
	return ctx.Err()
}

// end ends a session, until the API confirms it or ctx ends. Then the end says why there was no confirmation.
func (s *Sessions) end(ctx context.Context, id string) (end task.SessionEnd) {
	err := s.repeat(ctx, func() error {
		err := s.api.EndSession(ctx, id)
		if failure, ok := errors.AsType[*task.SessionError](err); ok && mayBeGone(failure) && s.isGone(ctx, id) {
			return nil
		}
		return err
	})
	switch _, answered := errors.AsType[*task.SessionError](err); {
	case err == nil:
		return task.SessionEnd{Confirmed: true}
	case answered:
		return task.SessionEnd{Why: err.Error()}
	default:
		return task.SessionEnd{Why: "other calls to the API took all the time"}
	}
}

// mayBeGone reports whether a call that was to end a session got an answer that can mean that it has ended before. The API
// documents a 401 for a session that it does not know, and nothing for one that has ended, so any answer can but those that
// only ask for patience. It proves nothing: a gateway's page and the answer to a wrong key are among them.
func mayBeGone(failure *task.SessionError) bool {
	return failure.HTTPStatus >= http.StatusBadRequest && failure.HTTPStatus != http.StatusTooManyRequests && failure.RetryAfter == 0
}

// isGone reports whether the API says that a session has ended. The call is part of another one.
func (s *Sessions) isGone(ctx context.Context, id string) bool {
	if s.limit.Wait(ctx) != nil {
		return false
	}
	return saysEnded(s.api.Session(ctx, id))
}

// saysEnded reports whether the API's own answer about a session is that it has ended, or that it does not know it.
func saysEnded(found task.Session, err error) bool {
	failure, ok := errors.AsType[*task.SessionError](err)
	return ok && failure.UnknownSession() || err == nil && found.Ended()
}

// look asks for the state of a session, once.
func (s *Sessions) look(ctx context.Context, id string) (found task.Session, err error) {
	err = s.call(ctx, func() (err error) {
		found, err = s.api.Session(ctx, id)
		return err
	})
	return found, err
}

// repeat makes a call until it succeeds or ctx ends, and returns its last error. It waits as long as the API asked for.
func (s *Sessions) repeat(ctx context.Context, call func() error) (last error) {
	retry := s.retries()
	for {
		err := s.call(ctx, call)
		if err == nil || last == nil || ctx.Err() == nil { // an answer says more than the end of ctx
			last = err
		}
		if err == nil {
			return nil
		}
		wait := retry.NextBackOff()
		if failure, ok := errors.AsType[*task.SessionError](err); ok {
			wait = max(wait, failure.RetryAfter)
		}
		if timer.Sleep(ctx, wait, nil) != nil {
			return last
		}
	}
}

// call makes a call in its turn and at the rate that all calls have. The error may be ctx's.
func (s *Sessions) call(ctx context.Context, call func() error) error {
	if err := s.calls.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.calls.Release(1)
	if err := s.limit.Wait(ctx); err != nil {
		return err
	}
	return call()
}

// retries returns the waits between the repetitions of a call.
func (s *Sessions) retries() *backoff.ExponentialBackOff {
	return timer.Growing(s.waits.Retry, longestRetry*s.waits.Retry)
}
