// Package app puts the worker together: settings and Run.
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
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/pipeline"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/streams"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/task/schema"
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
	violations := streams.NewPermissionViolations(cfg.Streams(), reg, log)
	nc, err := streams.Connect(cfg.NATS, cfg.Worker.Name, violations.Note, log)
	if err != nil {
		return err
	}
	defer nc.Close()

	limitOfMemory, err := memory.SetLimit()
	if err != nil {
		return err
	}
	budgets := memory.Divide(limitOfMemory)
	limit := rateLimit(cfg.Anchor.RateLimit)
	clock := &servertime.Clock{}
	with := parts{
		nc: nc, binding: streams.NewBinding(nc, cfg.Streams(), violations, clock, log), api: api,
		admission: admission.New(cfg.Submit, limit, reg, log),
		polls:     poller.New(cfg.Poll, api, poller.Budgets{Polls: budgets.Polls, Answers: budgets.Answers}, limit, reg, log),
		tracer:    tracer, budgets: budgets, clock: clock, reg: reg, log: log,
	}
	operators, err := admin.New(ctx, cfg.Admin, version, reg, log, checks(ctx, with, violations)...)
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
		if err := with.binding.Await(ctx); err != nil {
			return nil // told to stop before it could begin
		}
		log.Info().Str("version", version).Msg("worker is ready")
		return work(ctx, cfg, with)
	})
	return group.Wait()
}

// parts are what Run has made before it works.
type parts struct {
	nc        *nats.Conn
	binding   *streams.Binding
	api       *anchor.Client
	admission *admission.Admission
	polls     *poller.Poller
	tracer    trace.Tracer
	budgets   memory.Budgets
	clock     *servertime.Clock
	reg       prometheus.Registerer
	log       zerolog.Logger
}

// work wires request → submit → track → poll → publish, and runs it until ctx ends and the drain is over.
func work(ctx context.Context, cfg Config, with parts) error {
	r := with.binding.Found()
	out, err := jet.NewBatcher(with.nc, jet.Quick)
	if err != nil {
		return err
	}
	requests := consumer.NewRequests(r.Requests, with.reg, with.log)
	budgets := with.budgets
	line := pipeline.New(
		pipeline.Config{
			Worker: cfg.Worker.Name, Defaults: cfg.defaults(schema.NewChecker(budgets.Checks)),
			PostTimeout: cfg.Anchor.RequestTimeout + postMargin, OwnerGrace: ownerGrace,
			Keys: with.api.Keys, Clock: with.clock, Tracer: with.tracer,
		},
		pipeline.Parts{
			Requests:  requests,
			Admission: with.admission,
			API:       with.api,
			Tracker:   tracker.New(out, r.Tracker, cfg.Tracker, with.reg, with.log),
			Poller:    with.polls,
			Publisher: publisher.New(publisher.Parts{
				Conn: with.nc, JetStream: r.JS, Batcher: out, Results: r.Results, Large: r.Large, Index: budgets.Index, Clock: with.clock,
			}, cfg.Result, cfg.Dead, with.reg, with.log),
		},
		with.reg, with.log,
	)
	held := consumer.New(cfg.Config, consumer.Parts{
		Conn: with.nc, Batcher: out, Source: r.Consumer, Stream: requests, Handler: line, Memory: budgets.Requests,
		MayPull: func() bool { return !with.binding.TrackerFull() },
		Pulled:  func(ctx context.Context, refused error) { pulled(ctx, with.binding, refused) },
	}, with.reg, with.log)

	var watch sync.WaitGroup
	watch.Go(func() { with.binding.Keep(ctx) })
	watch.Go(func() { with.binding.WatchRecords(ctx) })
	watch.Go(func() {
		with.api.Run(ctx, with.log, func() {
			with.admission.KeyChanged()
			with.polls.KeyChanged()
		})
	})
	watch.Go(func() { restoreRecords(ctx, with.binding, line) })
	watch.Go(func() { consumer.NewBacklog(r.Requests, r.Consumer, cfg.Request.Subject, with.reg).Run(ctx) })
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
	held.Run(ctx)
	if with.nc.IsClosed() {
		return ErrDrainTimeout
	}
	return nil
}

// pulled notes what became of a pull. Where one is refused, the streams may have been deleted: they are looked at.
func pulled(ctx context.Context, binding *streams.Binding, refused error) {
	if refused == nil {
		binding.PullOK()
		return
	}
	binding.PullRefused(refused)
	_ = binding.Check(ctx) // it is logged, and readiness reports it
}

// restoreRecords lets the pipeline write its records again whenever the bucket may have lost them.
func restoreRecords(ctx context.Context, binding *streams.Binding, line *pipeline.Pipeline) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-binding.Recreated():
			line.RecordsLost()
		}
	}
}

// checks are the lines of /readyz: what a worker needs to be ready, and what an operator wants to know beside that.
func checks(ctx context.Context, with parts, violations *streams.PermissionViolations) []admin.Check {
	return []admin.Check{
		{Name: "nats", Ready: func() (bool, string) { return with.nc.IsConnected(), with.nc.Status().String() }},
		{Name: "permissions", Ready: violations.Ready},
		{Name: "streams", Ready: with.binding.Ready},
		{Name: "clock", Info: with.binding.Clock},
		{Name: "work", Ready: func() (bool, string) {
			if ctx.Err() != nil {
				return false, "draining"
			}
			return true, "pulling"
		}},
		{Name: "submissions", Info: func() string { return pause(with.admission.Paused, with.api.KeyProblem) }},
		{Name: "polls", Info: func() string { return pause(with.polls.Paused, with.api.KeyProblem) }},
	}
}

// pause describes a pause, if there is one. A paused worker is ready: its tasks wait, and it goes on by itself.
func pause(state func() (task.Reason, time.Time, bool), keyProblem func() string) string {
	reason, until, paused := state()
	if !paused {
		return "open"
	}
	text := fmt.Sprintf("paused until %s: %s", until.UTC().Format(time.RFC3339), reason)
	if problem := keyProblem(); problem != "" && reason == task.Unauthorized {
		text += " (" + problem + ")"
	}
	return text
}

// rateLimit is the budget of calls that submissions and polls share; 0 is none.
func rateLimit(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}

const (
	// postMargin is how much longer than the call itself a submission may take: to begin, and to record the answer.
	postMargin = 10 * time.Second

	// ownerGrace is how long a task that was found in the middle of its submission is watched at least.
	ownerGrace = 5 * time.Second
)

func (c Config) defaults(schemas *schema.Checker) task.Defaults {
	return task.Defaults{Timeout: c.Task.Timeout, Resubmit: c.OnUnknownSubmission == "resubmit", Schemas: schemas}
}
