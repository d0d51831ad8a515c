// Package poller waits until workflows end.
//
// A wait is a loop in the goroutine of its task: a timer, a place in the budget of calls, a call, and a judgement
// of its answer. There may be a hundred thousand. How often a workflow is asked after depends on how long it has
// run, so that a wait that another worker resumes goes on where it was: ever less often, until enough tasks of its
// kind have ended to know when to expect that.
//
// All waits share the rate, the calls at once, the memory for answers, and a circuit breaker: while the API wants
// no calls, one probe a minute at least finds out whether that is still so. Failed calls never end a wait. Its
// deadline does, on time, whatever the API does, after a last look that leaves even while the breaker is open.
package poller

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/breaker"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// callsAtOnce bounds the connections a worker has open to ask. At 100 ms a call it allows 1,280 calls a
	// second, which is 19,000 tasks at the longest default interval.
	callsAtOnce = 128

	// longestAsked bounds for how long the API can stop all polls: an answer to one of them must not end every
	// task as timed out.
	longestAsked = time.Minute
)

// API answers for workflows.
type API interface {
	// Status returns what the API says of a workflow, or a *task.StatusError. It reads at most that many bytes
	// of a successful answer.
	Status(ctx context.Context, workflowID string, most int64) (task.Workflow, error)
	// Timeout is how long a call may take.
	Timeout() time.Duration
}

// Budgets are the memory for answers, from before a call until the caller of Wait frees them.
type Budgets struct {
	Polls   *memory.Budget // answers of up to 64 KiB
	Answers *memory.Budget // larger ones
}

// Poller waits for workflows. Its methods may be called by many goroutines at once.
type Poller struct {
	cfg     Config
	paces   paces
	api     API
	budgets Budgets
	line    *semaphore.Weighted // held by the first poll in line; passes on in the order of asking
	calls   *semaphore.Weighted // one for each call at once
	limit   *rate.Limiter
	resumes spread
	breaker *breaker.Breaker
	log     zerolog.Logger
	metrics metrics
}

// New returns a Poller. cfg.Interval and the burst of limit must be positive; the limit may be shared with others.
func New(cfg Config, api API, budgets Budgets, limit *rate.Limiter, reg prometheus.Registerer, log zerolog.Logger) *Poller {
	p := &Poller{
		cfg:     cfg,
		paces:   paces{cfg: cfg, byKind: map[string]*usedPace{}},
		api:     api,
		budgets: budgets,
		line:    semaphore.NewWeighted(1),
		calls:   semaphore.NewWeighted(callsAtOnce),
		limit:   limit,
		breaker: breaker.New(longestAsked),
		log:     log,
	}
	p.metrics = newMetrics(reg, p.held)
	return p
}

// Wait blocks until the workflow has ended, is lost, has an answer that is too large, or its deadline has come.
// The error is that of ctx, which ended first; the Ending then holds what was learned so far. It is never nil. An
// Ending with a result holds memory: the caller frees it with Ending.Release.
//
// The workflow is asked after once more shortly before the deadline, and a resumed wait has a few seconds to ask
// once even where the deadline has passed.
func (p *Poller) Wait(ctx context.Context, watch *task.Watch) (*task.Outcome, error) {
	w := p.begin(watch)
	defer p.end(w)
	for over := false; !over; {
		if err := w.sleep(ctx); err != nil {
			return w.ending, w.interrupted(err)
		}
		if !time.Now().Before(w.bound) {
			w.ending.TimedOut = true
			return w.ending, nil
		}
		over = p.look(ctx, w)
	}
	return w.ending, nil
}

func (p *Poller) begin(watch *task.Watch) *wait {
	p.metrics.waiting.Inc()
	return p.newWait(watch)
}

func (p *Poller) end(w *wait) {
	w.timer.Stop()
	p.metrics.waiting.Dec()
}

// KeyChanged lets a poll leave at once where the API wanted none because of the key or its account.
func (p *Poller) KeyChanged() {
	if p.breaker.Retry(breaker.OfKey()...) {
		p.log.Info().Msg("polls probed with changed API key")
	}
}

// Paused reports whether polls are paused, why, and until when. A paused worker is ready.
func (p *Poller) Paused() (reason task.Reason, until time.Time, paused bool) {
	return p.breaker.State()
}

// held is 1 while the API wants no status calls.
func (p *Poller) held() float64 {
	if _, _, paused := p.Paused(); paused {
		return 1
	}
	return 0
}

type metrics struct {
	inFlight prometheus.Gauge
	waiting  prometheus.Gauge
	due      prometheus.Gauge
	late     prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, held func() float64) metrics {
	auto := promauto.With(reg)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "capstan_polls_held", Help: "Whether the API wants no status calls now.",
	}, held)
	return metrics{
		inFlight: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_polls_in_flight", Help: "Status calls under way.",
		}),
		waiting: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_waiting_workflows", Help: "Workflows whose end is waited for.",
		}),
		due: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_polls_due", Help: "Status calls that are due and wait for memory, a free call or the rate.",
		}),
		late: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_poll_late_seconds", Help: "Time that a status call was due before it left.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
	}
}
