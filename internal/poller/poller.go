// Package poller waits until workflows end.
//
// Each wait is the caller's goroutine and one timer. How often a workflow is asked after depends on how long
// it has run, so that a wait that another worker resumes goes on where it was: ever less often, until enough
// tasks of its kind have ended to know when to expect that. All waits share the rate,
// a bound of calls at once, and a hold: when the API says that it wants no calls now, none is made until
// the time it named is over. Failed calls never end a wait; its deadline does, on time, whatever the API
// does.
package poller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/aside"
	"github.com/capstan-worker/capstan/internal/task"
)

// callsAtOnce bounds the connections a worker has open to ask. At 100 ms a call it allows 1,280 calls a
// second, which is 19,000 tasks at the longest default interval.
const callsAtOnce = 128

// API answers for workflows.
type API interface {
	// Status returns what the API says of a workflow, or a *task.StatusError.
	Status(ctx context.Context, workflowID string) (task.Workflow, error)
}

// Poller waits for workflows. Its methods may be called by many goroutines at once.
type Poller struct {
	cfg   Config
	paces paces
	api   API
	calls *semaphore.Weighted // one for each call at once
	turn  *semaphore.Weighted // one poll at a time queues for a token, so that submissions get every other one
	limit *rate.Limiter
	hold  *hold
	log   zerolog.Logger

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
		turn:  semaphore.NewWeighted(1),
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

// Wait blocks until the workflow has ended, is lost, has an answer that is too large, or its deadline
// has come. The error is that of ctx, which ended first; the ending then holds what was learned so far.
//
// The workflow is asked after once more shortly before the deadline, and a resumed wait has a few seconds
// to ask once even where the deadline has passed.
func (p *Poller) Wait(ctx context.Context, watch *task.Watch) (task.Ending, error) {
	p.waiting.Inc()
	defer p.waiting.Dec()
	w := newWait(p.cfg, p.paces.of(watch.Kind), watch)
	for ctx.Err() == nil {
		if wait := time.Until(w.next); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			continue
		}
		if p.step(ctx, w) {
			return w.ending, nil
		}
	}
	return w.ending, fmt.Errorf("wait for workflow %s: %w", watch.WorkflowID, ctx.Err())
}

// step does what is due: it ends the wait, or asks and sets when the next step is.
func (p *Poller) step(ctx context.Context, w *wait) (over bool) {
	if !time.Now().Before(w.bound) {
		w.ending.TimedOut = true
		return true
	}
	if _, until := p.hold.admit(); !until.IsZero() {
		w.resumeAfter(until)
		return false
	}
	ctx, cancel := context.WithDeadline(ctx, w.bound)
	defer cancel()
	if err := p.enter(ctx); err != nil { // neither a slot nor a token before the time is up
		w.next = w.bound
		return false
	}
	defer p.calls.Release(1)
	return p.ask(ctx, w)
}

// enter takes the slot of a call and then a token of the rate, so that none is wasted in a queue.
func (p *Poller) enter(ctx context.Context) error {
	began := time.Now()
	p.due.Inc()
	defer p.due.Dec()
	if err := p.calls.Acquire(ctx, 1); err != nil {
		return err
	}
	if err := p.takeToken(ctx); err != nil {
		p.calls.Release(1)
		return err
	}
	p.late.Observe(time.Since(began).Seconds())
	return nil
}

func (p *Poller) takeToken(ctx context.Context) error {
	if err := p.turn.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.turn.Release(1)
	return p.limit.Wait(ctx)
}

func (p *Poller) ask(ctx context.Context, w *wait) (over bool) {
	generation, until := p.hold.admit()
	if !until.IsZero() { // it began while this poll was queueing
		w.resumeAfter(until)
		return false
	}
	began := time.Now()
	p.inFlight.Inc()
	var workflow task.Workflow
	err := aside.Do(func() (err error) {
		workflow, err = p.api.Status(ctx, w.workflowID)
		return err
	})
	p.inFlight.Dec()
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
