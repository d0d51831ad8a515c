// Package poller waits until workflows end.
//
// A wait is a timer and no goroutine: there may be a hundred thousand. How often a workflow is asked after
// depends on how long it has run, so that a wait that another worker resumes goes on where it was: ever less
// often, until enough tasks of its kind have ended to know when to expect that. All waits share the rate, a
// bound of calls at once, and a hold: when the API says that it wants no calls now, none is made until the
// time it named is over. Failed calls never end a wait; its deadline does, on time, whatever the API does.
package poller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/contain"
	"github.com/capstan-worker/capstan/internal/task"
)

// callsAtOnce bounds the connections a worker has open to ask. At 100 ms a call it allows 1,280 calls a
// second, which is 19,000 tasks at the longest default interval.
const callsAtOnce = 128

// maxAnswer is the largest answer that is read, in bytes.
const maxAnswer = 32 << 20

// API answers for workflows.
type API interface {
	// Status returns what the API says of a workflow, of whose answer it reads at most so many bytes, or a
	// *task.StatusError.
	Status(ctx context.Context, workflowID string, most int64) (task.Workflow, error)
	// Timeout is how long a call may take.
	Timeout() time.Duration
}

// Poller waits for workflows. Its methods may be called by many goroutines at once.
type Poller struct {
	cfg   Config
	paces paces
	api   API
	calls *semaphore.Weighted // one for each call at once
	limit *rate.Limiter
	hold  *hold
	log   zerolog.Logger

	mu    sync.Mutex
	queue queue // guarded by mu

	inFlight prometheus.Gauge
	waiting  prometheus.Gauge
	due      prometheus.Gauge
	late     prometheus.Histogram
}

// New returns a Poller. cfg.Interval and the burst of limit must be positive; the limit may be shared
// with others.
func New(cfg Config, api API, limit *rate.Limiter, reg prometheus.Registerer, log zerolog.Logger) *Poller {
	auto := promauto.With(reg)
	return &Poller{
		cfg:   cfg,
		paces: paces{cfg: cfg, byKind: map[string]*pace{}},
		api:   api,
		calls: semaphore.NewWeighted(callsAtOnce),
		limit: limit,
		hold:  newHold(reg, log),
		log:   log,
		inFlight: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_polls_in_flight", Help: "Status calls under way.",
		}),
		waiting: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_waiting_workflows", Help: "Workflows whose end is waited for.",
		}),
		due: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_polls_due", Help: "Status calls that are due and wait for a free call or the rate.",
		}),
		late: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_poll_late_seconds", Help: "Time that a status call was due before it left.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
	}
}

// Watch waits until the workflow has ended, is lost, has an answer that is too large, or its deadline
// has come, and then calls done, once: perhaps before Watch returns, where ctx has ended already. The error
// is that of ctx, which ended first, or a *contain.PanicError of the API's client; the ending then holds
// what was learned so far.
//
// The workflow is asked after once more shortly before the deadline, and a resumed wait has a few seconds
// to ask once even where the deadline has passed.
func (p *Poller) Watch(ctx context.Context, watch *task.Watch, done func(task.Ending, error)) {
	p.waiting.Inc()
	w := newWait(p.cfg, p.paces.of(watch.Kind), watch)
	w.done = done
	w.ask = func() { p.ask(ctx, w) }
	w.timer = time.AfterFunc(time.Hour, func() { p.wake(ctx, w) })
	w.timer.Stop()
	w.unwatch = context.AfterFunc(ctx, func() { p.abandon(ctx, w) })
	p.sleep(ctx, w)
}

// sleep lets the wait's timer run until its next step.
func (p *Poller) sleep(ctx context.Context, w *wait) {
	p.mu.Lock()
	w.phase = asleep
	w.timer.Reset(time.Until(w.next))
	p.mu.Unlock()
	if ctx.Err() != nil { // while nobody listened
		p.abandon(ctx, w)
	}
}

// wake does what is due when the wait's timer has run out.
func (p *Poller) wake(ctx context.Context, w *wait) {
	if do := p.step(ctx, w); do != nil {
		do()
	}
}

// step takes a wait whose timer has run out to its next phase and returns what is to be done there, or nil.
func (p *Poller) step(ctx context.Context, w *wait) (do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case w.phase != asleep && w.phase != queued: // it was just taken from the queue
		return nil
	case !time.Now().Before(w.bound):
		p.leave(w, over)
		w.ending.TimedOut = true
		return func() { p.end(w, nil) }
	case w.phase == asleep && p.mayLeave(ctx, w):
		return w.ask
	default: // it was put off, or this is an earlier timer of one in the queue, that came late
		return nil
	}
}

// mayLeave reports whether a poll that is due may leave at once. Else it is put off by a hold, or into the queue. The
// caller holds mu.
func (p *Poller) mayLeave(ctx context.Context, w *wait) (mayAsk bool) {
	if _, until := p.hold.admit(); !until.IsZero() {
		w.resumeAfter(until)
		w.timer.Reset(time.Until(w.next))
		return false
	}
	if p.tryTake() {
		p.late.Observe(0)
		w.phase = asking
		return true
	}
	p.enqueue(ctx, w)
	w.timer.Reset(time.Until(w.bound))
	return false
}

// abandon ends the wait because ctx has ended, unless it is over or asks: then that is cut short, and it sees for itself.
func (p *Poller) abandon(ctx context.Context, w *wait) {
	p.mu.Lock()
	waits := w.phase == asleep || w.phase == queued
	if waits {
		p.leave(w, over)
		w.timer.Stop()
	}
	p.mu.Unlock()
	if waits {
		p.end(w, fmt.Errorf("wait for workflow %s: %w", w.workflowID, ctx.Err()))
	}
}

// end hands the wait's ending over. Its phase is over, so that nobody else does.
func (p *Poller) end(w *wait, err error) {
	w.unwatch()
	p.waiting.Dec()
	w.done(w.ending, err)
}

// ask asks after the workflow, in the slot that was taken for it, and sets when the next step is.
func (p *Poller) ask(ctx context.Context, w *wait) {
	ended := false
	err := contain.Do(func() error {
		defer p.calls.Release(1)
		ended = p.poll(ctx, w)
		return nil
	})
	if !ended && err == nil {
		p.sleep(ctx, w)
		return
	}
	p.mu.Lock()
	w.phase = over
	p.mu.Unlock()
	p.end(w, err)
}

// poll makes one call and takes in what it brings.
func (p *Poller) poll(ctx context.Context, w *wait) (ended bool) {
	generation, until := p.hold.admit()
	if !until.IsZero() { // it began while this poll was queueing
		w.resumeAfter(until)
		return false
	}
	if time.Until(w.bound) < p.api.Timeout() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, w.bound)
		defer cancel()
	}
	began := time.Now()
	p.inFlight.Inc()
	defer p.inFlight.Dec()
	workflow, err := p.api.Status(ctx, w.workflowID, maxAnswer)
	if err == nil {
		p.hold.answered(generation)
		return w.learned(began, workflow)
	}
	failure, ok := errors.AsType[*task.StatusError](err)
	if !ok {
		failure = &task.StatusError{}
	}
	p.log.Debug().Str("task", w.taskID).Str("workflow", w.workflowID).Int("status", failure.HTTPStatus).
		Msg("poll brought nothing")
	p.hold.failed(generation, failure)
	return w.failed(failure)
}
