// Package admission decides when a submission may leave the worker.
//
// Submissions stand in one line, first come, first served; a task that acquires again goes to the back. The first
// in line waits for a free slot, then for the end of a pause, and last for a token of the rate; the others wait
// behind it.
//
// A circuit breaker pauses submissions: package breaker has its states, its waits, and the list of the answers
// that concern everybody. Accepted or refused, the probe shows that the API judges tasks again, and the pause is
// over. Where the probe's outcome is unknown, or no POST was made, the next in line is the probe: while the API
// is unwell, no more than one task at a time is at risk.
//
// # Answers that end a task
//
// An unknown outcome and a refusal concern one task, and end it. A gateway or a broken deploy that answers every
// submission so would cost a whole queue its tasks. So the fifth outcome of one kind, with no accepted submission
// since the first of them, opens the breaker as well (task.Failing, task.Refusing), and while nothing is accepted
// each further one does it again. A kind is "unknown", or the HTTP status of a refusal.
//
// A refused probe is final for its task, so a queue of requests that deserve to be refused moves by one task a
// pause. How long these pauses may get depends on what the status can be about:
//
//   - 400, 409, 413 and 422 are about what the request says. A queue full of bad requests is then as likely as a
//     broken API. The pauses grow to 5 s: 2,000 bad requests take less than three hours, and a broken API costs
//     at most 12 tasks a minute.
//   - No request can earn any other refusal, such as 404, 405 or a redirect: the base URL or the deploy is wrong.
//     The pauses grow to 60 s.
//
// # Requests with a browser session
//
// A refusal or a 403 for a request that names a session can be about the session: somebody else's, or expired. It
// never pauses requests without a session. A breaker of their own pauses those with one: after a 403 for three
// different sessions, or five refusals of one kind, and again no submission accepted in between. Its pauses grow
// to 5 s, and any accepted submission ends them. A request without a session that meets a 403 pauses all.
package admission

import (
	"context"
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

// longestAsked bounds what the API can ask for.
const longestAsked = time.Hour

// Admission bounds how many submissions are under way, how fast they leave, and keeps them back during a pause.
// Its methods may be called by many goroutines at once.
type Admission struct {
	turn         *semaphore.Weighted // held by the first in line; passes on in the order of asking
	sessionsTurn *semaphore.Weighted // the same for the requests with a session that a pause keeps out of the line
	slots        *semaphore.Weighted // one for each POST that may be under way
	limit        *rate.Limiter
	all          *breaker.Breaker // of all submissions
	sessions     *breaker.Breaker // of those with a session
	accepted     atomic.Uint64
	metrics      metrics
	log          zerolog.Logger

	mu      sync.Mutex
	streaks streaks // guarded by mu
}

// New returns an Admission that pauses nothing yet. cfg.Concurrency and the burst of limit must be at least 1;
// the limit may be shared with others.
func New(cfg Config, limit *rate.Limiter, reg prometheus.Registerer, log zerolog.Logger) *Admission {
	a := &Admission{
		turn:         semaphore.NewWeighted(1),
		sessionsTurn: semaphore.NewWeighted(1),
		slots:        semaphore.NewWeighted(int64(cfg.Concurrency)),
		limit:        limit,
		all:          breaker.New(longestAsked),
		sessions:     breaker.New(shortPause),
		log:          log,
		streaks:      newStreaks(),
	}
	a.metrics = newMetrics(reg, cfg.Concurrency, a.pausedFor)
	return a
}

// Acquire blocks until a submission may leave, or until ctx ends: then its error is returned and there is nothing
// to release. sessionID is that of the request, or empty.
//
// The caller submits and then calls release, exactly once, with the outcome: nil for an accepted submission, the
// *task.SubmitError, or task.ErrNotSubmitted. Any other error counts as an unknown outcome.
func (a *Admission) Acquire(ctx context.Context, sessionID string) (release func(error), err error) {
	began := time.Now()
	a.metrics.waiting.Inc()
	defer a.metrics.waiting.Dec()
	s, err := a.pass(ctx, sessionID)
	if err != nil {
		// The limiter gives up early when its token would come after ctx's deadline.
		<-ctx.Done()
		return nil, fmt.Errorf("wait to submit: %w", ctx.Err())
	}
	a.metrics.waited.Observe(time.Since(began).Seconds())
	a.metrics.inUse.Inc()
	return func(err error) { a.release(s, err) }, nil
}

// Accepted returns how many submissions were accepted so far.
func (a *Admission) Accepted() uint64 { return a.accepted.Load() }

// Paused reports whether submissions are paused, why, and until when. A pause of the requests with a session
// counts: it lasts only while nothing else is accepted. A paused worker is ready.
func (a *Admission) Paused() (reason task.Reason, until time.Time, paused bool) {
	if reason, until, paused = a.all.State(); paused {
		return reason, until, true
	}
	return a.sessions.State()
}

// KeyChanged ends a pause whose reason is about the API key or its account.
func (a *Admission) KeyChanged() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.streaks.forbidden = map[string]struct{}{}
	all, sessions := a.all.Retry(breaker.OfKey()...), a.sessions.Retry(breaker.OfKey()...)
	if all || sessions {
		a.log.Info().Msg("submissions probed with changed API key")
	}
}

func (a *Admission) pausedFor(reason task.Reason) bool {
	ofAll, _, all := a.all.State()
	ofSessions, _, sessions := a.sessions.State()
	return all && ofAll == reason || sessions && ofSessions == reason
}

// submission is one that was let through.
type submission struct {
	session  string
	all      breaker.Ticket
	sessions breaker.Ticket // the zero Ticket for a request without a session
}

// pass returns with a slot acquired for the submission.
func (a *Admission) pass(ctx context.Context, session string) (submission, error) {
	for {
		done, err := a.awaitSessions(ctx, session)
		if err != nil {
			return submission{}, err
		}
		s, ok, err := a.standInLine(ctx, session)
		done()
		if ok || err != nil {
			return s, err
		}
	}
}

// awaitSessions keeps a request with a session out of the line while those are paused. While their breaker is
// half-open, no other one follows until done is called.
func (a *Admission) awaitSessions(ctx context.Context, session string) (done func(), err error) {
	if session == "" || a.sessions.Closed() {
		return func() {}, nil
	}
	if err := a.sessionsTurn.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	done = func() { a.sessionsTurn.Release(1) }
	if err := a.sessions.Wait(ctx); err != nil {
		done()
		return nil, err
	}
	if a.sessions.Closed() {
		done()
		return func() {}, nil
	}
	return done, nil
}

// standInLine waits for the submission's turn and a slot. ok is false where requests with a session are paused
// and this is one: it must not keep the others waiting.
func (a *Admission) standInLine(ctx context.Context, session string) (s submission, ok bool, err error) {
	if err := a.turn.Acquire(ctx, 1); err != nil {
		return submission{}, false, err
	}
	defer a.turn.Release(1)
	if err := a.slots.Acquire(ctx, 1); err != nil {
		return submission{}, false, err
	}
	s, ok, err = a.admit(ctx, session)
	if !ok {
		a.slots.Release(1)
	}
	return s, ok, err
}

// admit waits for the end of a pause and for a token. It starts over when a pause begins while it waits for the
// token: one token for each pause is all that is wasted.
func (a *Admission) admit(ctx context.Context, session string) (s submission, ok bool, err error) {
	for {
		if err := a.all.Wait(ctx); err != nil {
			return submission{}, false, err
		}
		if _, _, paused := a.sessions.State(); paused && session != "" {
			return submission{}, false, nil
		}
		if err := a.limit.Wait(ctx); err != nil {
			return submission{}, false, err
		}
		s := submission{session: session}
		if session != "" {
			if s.sessions, ok = a.sessions.Admit(); !ok {
				return submission{}, false, nil
			}
		}
		if s.all, ok = a.all.Admit(); ok {
			return s, true, nil
		}
		a.sessions.Unused(s.sessions)
	}
}

// release judges the outcome before it frees the slot, so that no submission slips through ahead of a pause.
func (a *Admission) release(s submission, err error) {
	if err == nil {
		a.accepted.Add(1)
	}
	a.judge(s, err)
	a.metrics.inUse.Dec()
	a.slots.Release(1)
}
