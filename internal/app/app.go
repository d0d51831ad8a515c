// Package app puts the worker together: its settings, and Run.
package app

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admin"
	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/limits"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/pipeline"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/session"
	"github.com/capstan-worker/capstan/internal/streams"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/task/schema"
	"github.com/capstan-worker/capstan/internal/tracing"
	"github.com/capstan-worker/capstan/internal/tracker"
)

// ErrDrainTimeout means that a worker that was told to stop could not hand over its tasks within DRAIN_TIMEOUT. Other
// workers get the rest of them after ACK_WAIT.
var ErrDrainTimeout = errors.New("drain took longer than DRAIN_TIMEOUT")

// Run runs a worker until ctx ends: it connects to NATS, provisions or verifies the streams, and handles requests. Then
// it hands over its unfinished tasks and returns nil, or ErrDrainTimeout. While NATS is down it retries and is not
// ready. Any other error means that a setting cannot be used, or that the admin server failed.
func Run(ctx context.Context, cfg Config, version string, log zerolog.Logger) (err error) {
	stop := &cleanups{log: log}
	defer func() { err = errors.Join(err, stop.run()) }()

	w, err := newWorker(ctx, cfg, version, log, stop)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	server, err := admin.New(ctx, cfg.Admin, version, w.reg, log, w.checks(ctx)...)
	if err != nil {
		return err
	}
	// The probes answer until the drain is over. A worker without probes stops.
	serverCtx, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() {
		defer cancel()
		served <- server.Run(serverCtx)
	}()
	stop.add("admin server", func() error {
		stopServer()
		return <-served
	})

	if w.binding.Await(ctx) != nil {
		return nil // ctx ended before the streams could be used
	}
	log.Info().Str("version", version).Msg("worker is ready")
	return w.work(ctx, stop)
}

// worker holds the parts that are created before the streams can be used. No field is written after
// newWorker. Its parts may be used by many goroutines at once.
type worker struct {
	cfg        Config
	nc         *nats.Conn
	violations *streams.PermissionViolations // permission violations that NATS reported
	binding    *streams.Binding              // the streams, once they can be used
	clock      *servertime.Clock             // the time at the NATS server
	api        *anchor.Client                // Anchor's API
	sessions   *session.Sessions             // creates and ends browser sessions
	admission  *admission.Admission          // decides when a submission may be sent
	poller     *poller.Poller                // waits for workflows
	fleet      *fleet.Member                 // shows the worker beside the others
	control    *control.Bucket               // what the workers share
	steering   *control.Steering             // what operators ask of them
	budgets    memory.Budgets                // shares of the memory limit
	// tracer is nil if the environment asks for no traces.
	tracer  trace.Tracer
	limit   atomic.Pointer[limits.Keeper] // of the tasks that all workers hold; nil until the streams were found
	reg     *prometheus.Registry
	version string
	log     zerolog.Logger
}

// newWorker creates the parts that need no streams, and adds their clean-ups to stop. Nothing in it waits
// for NATS or for the API: a worker must be able to start during an outage. An error means that a setting
// cannot be used. What was created before the error is cleaned up by the caller, through stop.
func newWorker(ctx context.Context, cfg Config, version string, log zerolog.Logger, stop *cleanups) (*worker, error) {
	w := &worker{cfg: cfg, clock: &servertime.Clock{}, reg: prometheus.NewRegistry(), version: version, log: log}
	// The runtime's and the process's own metrics come with every worker.
	w.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	var err error
	if w.api, err = anchor.New(cfg.Anchor, version, w.reg, anchor.WithStarts(w.noteStarts)); err != nil {
		return nil, err
	}
	var flush func()
	if w.tracer, flush, err = tracing.Start(ctx, cfg.Worker.Name, version, log); err != nil {
		return nil, err
	}
	stop.add("traces", func() error { flush(); return nil })

	w.violations = streams.NewPermissionViolations(cfg.Streams(), w.reg, log)
	w.fleet = fleet.New(log)
	w.control = control.New(cfg.Control, control.Access{
		JetStream: func() jetstream.JetStream { return w.binding.Found().JS },
		Domain:    cfg.NATS.JSDomain, Create: cfg.NATS.Provision, Replicas: cfg.NATS.Replicas, TTL: cfg.Tracker.TTL,
	}, log)
	w.steering = control.NewSteering(w.control, w.clock, w.reg, log)
	if w.nc, err = streams.Connect(cfg.NATS, cfg.Worker.Name, w.noteError, log); err != nil {
		return nil, err
	}
	stop.add("NATS connection", func() error { w.nc.Close(); return nil })
	w.binding = streams.NewBinding(w.nc, cfg.Streams(), w.violations, w.clock, log)

	// What may grow with the load gets a share of the memory limit, so that a burst cannot kill the worker.
	memoryLimit, err := memory.SetLimit()
	if err != nil {
		return nil, err
	}
	w.budgets = memory.Divide(memoryLimit)
	w.budgets.Register(w.reg)
	// Submissions and polls are calls of one account and share one limit.
	calls := rateLimit(cfg.Anchor.RateLimit)
	w.sessions = session.New(w.api, session.DefaultWaits(), calls, log)
	w.admission = admission.New(cfg.Submit, calls, w.reg, log)
	w.steering.OnPause(w.admission.SetPause)
	w.poller = poller.New(cfg.Poll, w.api, poller.Budgets{Polls: w.budgets.Polls, Answers: w.budgets.Answers}, calls, w.reg, log)
	return w, nil
}

// rateLimit limits the calls of submissions and polls together, which the API counts together. 0 is no
// limit. The burst is what one second allows, and at least one call, without which a rate below one a
// second would never let a call pass.
func rateLimit(perSecond float64) *rate.Limiter {
	if perSecond <= 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
}

// work wires request → submit → track → poll → publish, and runs it until ctx ends and the drain is over.
// It is called once, after the streams were found. The error is ErrDrainTimeout, or says that the
// connection cannot be used.
func (w *worker) work(ctx context.Context, stop *cleanups) error {
	found := w.binding.Found()
	batcher, err := jet.NewBatcher(w.nc, w.answeringDomain(found), jet.Quick)
	if err != nil {
		return err
	}
	requests := consumer.NewRequests(found.Requests, w.reg, w.log)
	line := pipeline.New(w.pipelineConfig(), pipeline.Parts{
		Requests:  requests,
		Admission: w.admission,
		API:       w.api,
		Sessions:  w.sessions,
		Tracker:   tracker.New(batcher, found.Tracker, w.cfg.NATS.JSDomain, w.cfg.Tracker, w.clock, w.reg, w.log),
		Poller:    w.poller,
		Publisher: publisher.New(publisher.Parts{
			Conn: w.nc, JetStream: found.JS, Batcher: batcher, Results: found.Results, Large: found.Large,
			Index: w.budgets.Index, Clock: w.clock,
		}, w.cfg.Result, w.cfg.Dead, w.reg, w.log),
		Steering: w.steering,
	}, w.reg, w.log)
	var tasks *consumer.Consumer
	tasks = consumer.New(w.cfg.Config, consumer.Parts{
		Conn: w.nc, Batcher: batcher, Source: found.Consumer, Stream: requests, Handler: line, Memory: w.budgets.Requests,
		// A bucket that is full takes no records, and a task without a record must not be submitted.
		MayPull: func() bool { return !w.binding.TrackerFull() },
		Pulled: func(ctx context.Context, refused error) {
			w.notePull(ctx, refused)
			if refused == nil { // all subscriptions that the worker needs exist
				w.fleet.Join(w.nc, w.version, func() fleet.Status { return w.status(tasks.InProgress()) }, w.taskStatus(line))
			}
		},
	}, w.reg, w.log)

	context.AfterFunc(ctx, func() { _ = w.fleet.Leave() }) // a worker that drains takes no more tasks
	stop.add("service", w.fleet.Leave)
	stop.add("limit", w.keepLimit(ctx, found))
	// The drain happens in tasks.Run, after the end of ctx. Then the limit on it is lifted, and the watchers are awaited.
	stop.add("watchers", w.watch(ctx, line, consumer.NewBacklog(found.Requests, found.Consumer, w.cfg.Request.Subject, w.clock, w.reg)))
	stop.add("drain timeout", w.limitDrain(ctx))
	_ = w.steering.Await(ctx) // an operator may have paused submissions before the worker started
	tasks.Run(ctx)
	if w.nc.IsClosed() { // limitDrain has closed it; the clean-up of the connection comes later
		return ErrDrainTimeout
	}
	return nil
}

// answeringDomain returns the domain whose streams must confirm what the worker stores, or "" for any: without
// NATS_JS_DOMAIN the connected server decides. It is the domain by the name that the streams' server uses, because
// NATS_JS_DOMAIN may also be the name of an import from another account. It is "" as well if that server named none.
func (w *worker) answeringDomain(found *streams.Resources) string {
	if w.cfg.NATS.JSDomain == "" {
		return ""
	}
	return found.Results.CachedInfo().Domain
}

const (
	// postMargin is how much longer than its call a submission may take, to start and to record the answer.
	postMargin = 10 * time.Second

	// ownerGrace is the minimum time for which a worker watches a task that it found in the middle of its submission.
	ownerGrace = 5 * time.Second

	// retryWait is about how long a task waits for its first retry: up to 5 minutes for the last ones.
	retryWait = 5 * time.Second

	// sessionFresh is for how long a session that was not used can be used for the next POST: the shortest idle timeout that
	// the API allows.
	sessionFresh = time.Minute
)

// pipelineConfig is the configuration of the pipeline, which has no settings of its own: it follows from
// those of other packages.
func (w *worker) pipelineConfig() pipeline.Config {
	return pipeline.Config{
		Worker: w.cfg.Worker.Name,
		Defaults: task.Defaults{
			Timeout: w.cfg.Task.Timeout, OnUnknown: w.cfg.OnUnknownSubmission, Schemas: schema.NewChecker(w.budgets.Checks),
		},
		PostTimeout: w.cfg.Anchor.RequestTimeout + postMargin, AckWait: w.cfg.AckWait, OwnerGrace: ownerGrace, RetryWait: retryWait,
		Sessions: w.cfg.Sessions == "on", SessionFresh: sessionFresh, LiveView: w.cfg.Session.LiveView == "on",
		KeepFailed: w.cfg.Dead.Keep == publisher.KeepFailed, SecretsDir: w.cfg.Secrets.Dir,
		Reconnects: func() uint64 { return w.nc.Stats().Reconnects },
		Keys:       w.api.Keys, Clock: w.clock, Tracer: w.tracer,
	}
}
