// Package app puts the worker together: settings, connection, provision, and Run.
package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admin"
	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/outbox"
	"github.com/capstan-worker/capstan/internal/pipeline"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/retry"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/tracing"
	"github.com/capstan-worker/capstan/internal/tracker"
)

// ErrDrainTimeout says that the worker was told to stop and had not given everything back within DRAIN_TIMEOUT.
// What it still held moves on after ACK_WAIT.
var ErrDrainTimeout = errors.New("drain took longer than DRAIN_TIMEOUT")

// Run is the worker: it connects, provisions or binds, and handles requests until ctx ends. Then it gives
// back what it holds and returns nil, or ErrDrainTimeout. NATS need not be up: Run keeps trying, and is
// not ready meanwhile. Any other error comes at once and means that a setting cannot be used.
func Run(ctx context.Context, cfg Config, version string, log zerolog.Logger) error {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	api, err := anchor.New(cfg.Anchor, version, reg)
	if err != nil {
		return err
	}
	tracer, stopTracing, err := tracing.Start(ctx, cfg.Worker.Name, version, log)
	if err != nil {
		return err
	}
	defer stopTracing()
	denied := newDenials(cfg, reg, log)
	nc, err := Connect(cfg.NATS, cfg.Worker.Name, denied.note, log)
	if err != nil {
		return err
	}
	defer nc.Close()

	limitOfMemory, err := memory.SetLimit()
	if err != nil {
		return err
	}
	limit := rateLimit(cfg.Anchor.RateLimit)
	submissions := admission.New(cfg.Submit, limit, reg, log)
	streams := &binding{nc: nc, cfg: cfg, denied: denied, log: log}
	operators, err := admin.New(ctx, cfg.Admin, version, reg, log, checks(ctx, nc, submissions, streams, denied)...)
	if err != nil {
		return err
	}
	// The probes outlive the work, so that a worker that drains says so. Without them it does not work on.
	probesCtx, stopProbes := context.WithCancel(context.WithoutCancel(ctx))
	ctx, stopWork := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error {
		defer stopWork()
		return operators.Run(probesCtx)
	})
	group.Go(func() error {
		defer stopProbes()
		if err := streams.await(ctx); err != nil {
			return nil // told to stop before it could begin
		}
		log.Info().Str("version", version).Msg("worker is ready")
		return work(ctx, cfg, parts{nc: nc, streams: streams, api: api, gate: submissions, limit: limit, memory: memory.Divide(limitOfMemory), tracer: tracer, reg: reg, log: log})
	})
	return group.Wait()
}

// parts are what Run has made before it works.
type parts struct {
	nc      *nats.Conn
	streams *binding
	api     *anchor.Client
	gate    *admission.Admission
	limit   *rate.Limiter
	memory  memory.Budgets
	tracer  trace.Tracer
	reg     prometheus.Registerer
	log     zerolog.Logger
}

// work wires request → submit → track → poll → publish, and runs it until ctx ends and the drain is over.
func work(ctx context.Context, cfg Config, with parts) error {
	r := with.streams.found
	out, err := outbox.New(with.nc, retry.Quick)
	if err != nil {
		return err
	}
	line := pipeline.New(
		pipeline.Config{Worker: cfg.Worker.Name, Defaults: cfg.defaults(), OwnerGrace: ownerGrace(cfg), Tracer: with.tracer},
		consumer.NewRequests(r.requests, with.reg, with.log),
		with.gate, with.api,
		tracker.New(out, r.tracker, cfg.Tracker, with.reg, with.log),
		poller.New(cfg.Poll, with.api, poller.Budgets{Polls: with.memory.Polls, Answers: with.memory.Answers}, with.limit, with.reg, with.log),
		publisher.New(with.nc, r.js, out, r.results, r.large, cfg.Result, cfg.Dead, with.reg, with.log),
		with.reg, with.log,
	)
	requests := consumer.New(with.nc, out, r.consumer, cfg.Config, line, with.streams.look, with.reg, with.log)

	var watch sync.WaitGroup
	watch.Go(func() { with.streams.keep(ctx) })
	watch.Go(func() { consumer.NewBacklog(r.requests, r.consumer, cfg.Request.Subject, with.reg).Run(ctx) })
	defer watch.Wait()
	done := make(chan struct{})
	defer close(done)
	stopDrain := context.AfterFunc(ctx, func() {
		select {
		case <-done:
		case <-time.After(cfg.Drain.Timeout):
			with.nc.Close() // cuts off whatever still waits for NATS
		}
	})
	defer stopDrain()
	requests.Run(ctx)
	if with.nc.IsClosed() {
		return ErrDrainTimeout
	}
	return nil
}

// checks are what a worker needs to be ready.
func checks(ctx context.Context, nc *nats.Conn, g *admission.Admission, streams *binding, denied *denials) []admin.Check {
	return []admin.Check{
		{Name: "nats", Ready: func() (bool, string) { return nc.IsConnected(), nc.Status().String() }},
		{Name: "permissions", Ready: denied.ready},
		{Name: "streams", Ready: streams.ready},
		{Name: "work", Ready: func() (bool, string) {
			if ctx.Err() != nil {
				return false, "draining"
			}
			return true, "pulling"
		}},
		{Name: "submissions", Ready: func() (bool, string) {
			if reason, until, paused := g.Paused(); paused {
				return false, fmt.Sprintf("paused until %s: %s", until.UTC().Format(time.RFC3339), reason)
			}
			return true, "open"
		}},
	}
}

// rateLimit is the budget of calls that submissions and polls share; 0 is none.
func rateLimit(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}

// ownerGrace is how long a task found in the middle of its submission is watched: as long as the call may
// take, and then long enough for a worker that was cut off from NATS to come back and record its answer.
func ownerGrace(cfg Config) time.Duration { return cfg.Anchor.RequestTimeout + 5*time.Second }

func (c Config) defaults() task.Defaults {
	return task.Defaults{Timeout: c.Task.Timeout, Resubmit: c.OnUnknownSubmission == "resubmit"}
}
