// Package admission decides when a submission may leave the worker.
//
// Submissions wait in one line, first come, first served; a task that acquires again goes to the back. The first in line
// waits for a free slot, then for the end of all pauses, then for a start, and last for a token of the rate limit; the others
// wait behind it.
//
// An operator can pause submissions as well. Then nothing is admitted, whatever it has waited for before, and what is
// under way goes on. Such a pause is apart from those below: it neither begins nor ends one of them.
//
// # Starts
//
// The API accepts a quota of submissions, or starts, in each window of time, and its answers tell how many remain. While
// none does, submissions wait for the end of the window, so that they are not refused. After it, the quota counts as
// remaining until an answer tells otherwise. If no answer does, one submission beyond the quota shows whether the API still
// has it. A worker whose API tells nothing never waits for a start.
//
// The workers of a fleet share the quota. Each writes what it takes into a store by compare-and-set before it submits, and
// what the answer told after it, so that they take each start once, whenever they need it. Without the store, a worker takes
// its share of what remains, and the last few go to workers at random, at a random moment of the rest of the window. It
// then learns how many remain only from its own answers: some of its submissions are refused.
//
// A wrong clock, a program that writes nonsense into the store, or a worker that dies must not hold the others back. What
// the store has and what a worker remembers count only if they fit the time, and a submission is under way for at most two
// minutes.
//
// A circuit breaker pauses submissions: package breaker describes its states, its open times, and the answers that open
// it. After a pause one submission leaves as the probe. If it is accepted or refused, the API works again, and the
// pause is over. If its outcome is unknown, or nothing was submitted, the next in line is the probe: while the API
// fails, at most one task at a time is at risk.
//
// # Answers that end a task
//
// An unknown outcome or a refusal ends one task. A gateway or a broken deploy that gives such an answer to every
// submission would end a whole queue of tasks. So the fifth outcome of one kind opens the breaker too, if no submission
// was accepted since the first (task.Failing, task.Refusing), and each further one opens it again until a submission is
// accepted. A kind is "unknown", or the HTTP status of a refusal.
//
// A refused probe ends its task, so a queue of bad requests advances by one task per pause. The longest pause depends
// on the possible causes of the status:
//
//   - 400, 409, 413 and 422 can be the fault of the request. A queue full of bad requests is as likely as a broken API.
//     The pauses grow to 5 s: 2,000 bad requests take less than three hours, and a broken API costs at most 12 tasks a
//     minute.
//   - No request can cause any other refusal, such as 404, 405 or a redirect: the base URL or the deploy is wrong. The
//     pauses grow to 60 s.
//
// # Requests with a browser session
//
// A refusal or a 403 for a request that names a session can be about the session: it may belong to another account, or
// have expired. Such an answer never pauses requests without a session. A second breaker pauses those with one: after a
// 403 for three different sessions, or five refusals of one kind, if no submission was accepted in between. Its pauses
// grow to 5 s, and any accepted submission ends them. A 403 for a request without a session pauses all.
package admission

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/breaker"
	"github.com/capstan-worker/capstan/internal/task"
)

// longestPause bounds the pause that the API can ask for.
const longestPause = time.Hour

// Admission bounds how many submissions are under way and how fast they leave, and holds them back during a pause. Its
// methods may be called by many goroutines at once.
type Admission struct {
	line         line                // of those that wait
	sessionsLine line                // of requests with a session while those are paused, before they join the line
	slots        *semaphore.Weighted // one for each POST that may be under way
	limit        *rate.Limiter
	all          *breaker.Breaker // of all submissions
	sessions     *breaker.Breaker // of those with a session
	accepted     atomic.Uint64
	planRefusals atomic.Uint64
	planIsFull   atomic.Bool // the latest pause began with a plan refusal, and no browser has been freed since
	planRefused  atomic.Bool // the latest pause began with a plan refusal
	awaitsToken  atomic.Bool // the first in line waits for a token of the rate
	operator     operator
	starts       *starts // what the API tells of the rate
	metrics      metrics
	log          zerolog.Logger

	mu      sync.Mutex
	streaks streaks // guarded by mu
}

// New returns an Admission without a pause. cfg.Concurrency and the burst of limit must be at least 1. Polls may share
// the limit.
func New(cfg Config, limit *rate.Limiter, reg prometheus.Registerer, log zerolog.Logger) *Admission {
	a := &Admission{
		slots:    semaphore.NewWeighted(int64(cfg.Concurrency)),
		limit:    limit,
		all:      breaker.New(longestPause),
		sessions: breaker.New(shortPause),
		starts:   newStarts(log),
		log:      log,
		streaks:  newStreaks(),
	}
	a.metrics = newMetrics(reg, cfg.Concurrency, a.pausedFor, a.Starts)
	return a
}

// Acquire blocks until a submission may leave. It returns ctx's error if that ends first. sessionID is that of the
// request, or empty.
//
// While the submission waits, Acquire calls look every five seconds, never twice at once and never after it has returned. If
// look fails, the submission leaves the line, and Acquire returns that error. look may be nil.
//
// The caller submits and then calls release, exactly once, with the outcome: nil for an accepted submission, the
// *task.SubmitError, or task.ErrNotSubmitted. Any other error counts as an unknown outcome.
func (a *Admission) Acquire(ctx context.Context, sessionID string, look func() error) (release func(error), err error) {
	began := time.Now()
	a.metrics.waiting.Inc()
	defer a.metrics.waiting.Dec()
	s, err := a.acquire(ctx, sessionID, look)
	if errors.Is(err, errTooLate) { // it has left the line, and waits for its end
		err = lookUntil(ctx, nil, look)
	}
	if err != nil {
		return nil, fmt.Errorf("wait to submit: %w", err)
	}
	a.metrics.waited.Observe(time.Since(began).Seconds())
	return func(err error) { a.release(context.WithoutCancel(ctx), s, err) }, nil
}

// Accepted returns how many submissions the API has accepted so far.
func (a *Admission) Accepted() uint64 { return a.accepted.Load() }

// PlanRefusals returns how many submissions the API has refused so far because too many browsers ran: with a 429 that
// names no time after which it would accept them.
func (a *Admission) PlanRefusals() uint64 { return a.planRefusals.Load() }

// BrowserFreed reports that a workflow of this worker has ended. If submissions are paused because too many browsers ran,
// the next one leaves at once.
func (a *Admission) BrowserFreed() {
	if a.planIsFull.CompareAndSwap(true, false) && a.all.Probe(task.RateLimited) {
		a.log.Debug().Msg("submissions probed after a workflow has ended")
	}
}

// Paused reports whether submissions are paused, why, and until when. That includes a pause of the requests with a
// session, which lasts only while nothing else is accepted. A paused worker is ready.
func (a *Admission) Paused() (reason task.Reason, until time.Time, paused bool) {
	if reason, until, paused = a.all.State(); paused {
		return reason, until, true
	}
	return a.sessions.State()
}

// NoteStarts takes down what an answer to a submission tells of the rate. Call it before release.
func (a *Admission) NoteStarts(told task.Starts) { a.starts.note(told) }

// Starts returns how many submissions the API accepts before the end of its window, as far as this worker knows. told is
// false if the API does not tell.
func (a *Admission) Starts() (free int, told bool) { return a.starts.free() }

// Held reports whether a submission waits because none remains in the API's window, or other submissions have acquired
// those that do. Until is the end of the window: it leaves earlier if one of those is not accepted. That is no pause.
func (a *Admission) Held() (until time.Time, held bool) { return a.starts.held() }

// KeyChanged ends a pause whose reason is about the API key or its account.
func (a *Admission) KeyChanged() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.streaks.forbidden = map[string]struct{}{}
	all, sessions := a.all.Retry(breaker.OfKey()...), a.sessions.Retry(breaker.OfKey()...)
	if all || sessions {
		a.log.Info().Msg("pause of submissions cut short, API key changed")
	}
}

// pausedFor reports whether submissions are paused for a reason.
func (a *Admission) pausedFor(reason task.Reason) bool {
	ofAll, _, all := a.all.State()
	ofSessions, _, sessions := a.sessions.State()
	return all && ofAll == reason || sessions && ofSessions == reason
}
