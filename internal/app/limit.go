package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/limits"
	"github.com/capstan-worker/capstan/internal/streams"
)

// firstLook bounds the first look at the limit, which delays the first task.
const firstLook = time.Second

// keepLimit keeps the tasks and the submissions of all workers within what the account allows until ctx ends. It looks once
// at both before it returns: a new consumer allows more than the plan. wait waits for the end.
func (w *worker) keepLimit(ctx context.Context, found *streams.Resources) (wait func() error) {
	keeper := limits.New(w.cfg.MaxInFlightTotal.Most(), limits.Parts{
		Plan: func(ctx context.Context) (int, error) {
			plan, err := w.api.Plan(ctx)
			return plan.Browsers, err
		},
		Consumer: limits.NATSConsumer{JS: found.JS, Stream: w.cfg.Request.Stream, Name: w.cfg.Consumer},
		Running:  w.runningOnAll,
		Sessions: w.countSessions(),
		Refusals: w.admission.PlanRefusals,
		Store:    w.control,
		Clock:    w.clock,
	}, w.reg, w.log)
	w.limit.Store(keeper)
	first, cancel := context.WithTimeout(ctx, firstLook)
	defer cancel()
	keeper.Look(first)
	var running sync.WaitGroup
	running.Go(func() { keeper.Run(ctx) })
	running.Go(w.shareStarts(ctx))
	return func() error { running.Wait(); return nil }
}

// countSessions returns a function that counts the account's sessions, or nil where Capstan creates none: then most browsers
// are in sessions without its tag.
func (w *worker) countSessions() func(context.Context) (limits.Sessions, error) {
	if w.cfg.Sessions != "on" {
		return nil
	}
	return func(ctx context.Context) (limits.Sessions, error) {
		all, others, err := w.sessions.Open(ctx)
		return limits.Sessions{All: all, Others: others}, err
	}
}

// runningOnAll returns how many workflows run on all workers.
func (w *worker) runningOnAll(ctx context.Context) (running int, _ error) {
	all, err := fleet.All(ctx, w.nc)
	if err != nil {
		return 0, err
	}
	if len(all) == 0 {
		return 0, errors.New("no worker answers")
	}
	for _, s := range all {
		running += s.Running
	}
	return running, nil
}

// describeLimit returns the limit on the tasks of all workers, for /readyz.
func (w *worker) describeLimit() string {
	if keeper := w.limit.Load(); keeper != nil {
		return keeper.Describe()
	}
	return "not known yet"
}
