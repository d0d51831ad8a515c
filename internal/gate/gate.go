// Package gate decides when a submission may leave the worker.
//
// Whoever wants to submit stands in one line, first come, first served. The first in line waits for a
// free slot, then for the end of a pause, and last for a token of the rate; the others wait for it.
//
// A submission that the API did not accept through no fault of the task (task.NotNow) pauses all of
// them: for as long as the API asked, else for a wait that doubles from 1 s to 60 s and starts over
// after an accepted submission. When the time is over, one submission leaves as a probe. Accepted or
// refused, the API judges tasks again, and the pause is over. Not accepted, the next pause begins. If
// its outcome is unknown, or no POST was made, the next in line is the probe: as long as the API is
// unwell, no more than one task at a time is risked.
//
// An unknown outcome is no reason to pause, but one after the other is: an API that answers every
// submission with 500 would otherwise cost a whole queue its tasks.
//
// Answers to submissions that left before the latest pause began are old news. They neither begin nor
// lengthen nor end a pause, except that a pause lasts until the latest moment the API asked for.
package gate

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

// Gate bounds how many submissions are under way, how fast they leave, and keeps them back during a
// pause. Its methods may be called by many goroutines at once.
type Gate struct {
	turn     *semaphore.Weighted // held by the first in line; hands itself on in the order of asking
	slots    *semaphore.Weighted // one for each POST that may be under way
	limit    *rate.Limiter
	pause    *pause
	accepted atomic.Uint64
	metrics  metrics
}

// New returns an open gate. cfg.Concurrency and the burst of limit must be at least 1; the limit may be
// shared with others.
func New(cfg Config, limit *rate.Limiter, reg prometheus.Registerer, log zerolog.Logger) *Gate {
	p := newPause(log)
	p.metrics = newMetrics(reg, cfg.Concurrency, p.pausedFor)
	return &Gate{
		turn:    semaphore.NewWeighted(1),
		slots:   semaphore.NewWeighted(int64(cfg.Concurrency)),
		limit:   limit,
		pause:   p,
		metrics: p.metrics,
	}
}

// Enter blocks until a submission may leave, or until ctx ends: then its error is returned and there is
// nothing to give back.
//
// The caller submits and then calls leave, exactly once, with what came of it: nil for an accepted
// submission, the *task.SubmitError, or task.ErrNotSubmitted. Any other error counts as an unknown outcome.
func (g *Gate) Enter(ctx context.Context) (leave func(error), err error) {
	began := time.Now()
	g.metrics.waiting.Inc()
	defer g.metrics.waiting.Dec()
	generation, err := g.pass(ctx)
	if err != nil {
		// The limiter gives up early when its token would come after ctx's deadline.
		<-ctx.Done()
		return nil, fmt.Errorf("wait to submit: %w", ctx.Err())
	}
	g.metrics.waited.Observe(time.Since(began).Seconds())
	g.metrics.inUse.Inc()
	return func(err error) { g.leave(generation, err) }, nil
}

// Accepted returns how many submissions were accepted so far.
func (g *Gate) Accepted() uint64 { return g.accepted.Load() }

// Paused reports whether submissions are paused, why, and until when.
func (g *Gate) Paused() (reason task.Reason, until time.Time, paused bool) { return g.pause.state() }

// pass returns with a slot taken and the generation the submission belongs to.
func (g *Gate) pass(ctx context.Context) (generation uint64, err error) {
	if err := g.turn.Acquire(ctx, 1); err != nil {
		return 0, err
	}
	defer g.turn.Release(1)
	if err := g.slots.Acquire(ctx, 1); err != nil {
		return 0, err
	}
	generation, err = g.admit(ctx)
	if err != nil {
		g.slots.Release(1)
	}
	return generation, err
}

// admit starts over when a pause begins while it waits for a token: one token for each pause is all
// that is wasted.
func (g *Gate) admit(ctx context.Context) (generation uint64, err error) {
	for {
		if err := g.pause.wait(ctx); err != nil {
			return 0, err
		}
		if err := g.limit.Wait(ctx); err != nil {
			return 0, err
		}
		if generation, ok := g.pause.admit(); ok {
			return generation, nil
		}
	}
}

// leave judges the outcome before it frees the slot, so that nobody slips through ahead of a pause.
func (g *Gate) leave(generation uint64, err error) {
	if err == nil {
		g.accepted.Add(1)
	}
	g.pause.settle(generation, err)
	g.metrics.inUse.Dec()
	g.slots.Release(1)
}
