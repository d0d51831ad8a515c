// Package poller waits until workflows end.
//
// A wait is a loop in the goroutine of its task: a timer, a slot among the calls, a call, and a judgement of its
// answer. There may be a hundred thousand of them. The interval between two polls depends on how long the workflow has
// run, so that a wait that another worker resumes continues at the same pace. It grows until enough tasks of the same
// kind have ended to know when to expect the end.
//
// All waits share the rate limit, the slots, the memory for answers, and a circuit breaker: while the API asks for no
// calls, a probe at least once a minute finds out whether that has changed. Failed calls do not end a wait, unless the
// API keeps saying that it does not know the workflow. The deadline ends it on time, whatever the API does, after a
// last poll that is sent even while the breaker is open.
package poller

import (
	"context"
	"sync/atomic"
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
	// slots bounds the calls at once. At 100 ms a call it allows 1,280 calls a second, enough for 19,000 tasks at
	// the longest default interval.
	slots = 128

	// longestPause bounds the pause that the API can ask for: one answer must not make every task time out.
	longestPause = time.Minute
)

// API is Anchor's API.
type API interface {
	// Status returns the state of a workflow, or a *task.StatusError. It reads at most limit bytes of a successful
	// answer.
	Status(ctx context.Context, workflowID string, limit int64) (task.Workflow, error)
	// Timeout bounds a call.
	Timeout() time.Duration
}

// Budgets bound the memory for answers. It is reserved from before a call until the caller of Wait releases the outcome.
type Budgets struct {
	Polls   *memory.Budget // answers of up to 64 KiB
	Answers *memory.Budget // larger ones
}

// Poller waits for workflows. Its methods may be called by many goroutines at once.
type Poller struct {
	// Set by New. Everything here may be used by many goroutines at once.
	cfg     Config
	paces   paces
	api     API
	budgets Budgets
	// Has one place, for the first poll in line. Go gives it to those that wait in the order in which they came.
	line  chan struct{}
	slots *semaphore.Weighted // one for each call under way
	// The rate of calls, which polls may share with submissions.
	limit *rate.Limiter
	// Turns for the first polls of resumed waits.
	resumes spread
	breaker *breaker.Breaker

	waiting atomic.Int64 // waits that have begun and not ended

	log     zerolog.Logger
	metrics metrics
}

// New returns a Poller. cfg.Interval and the burst of limit must be positive; the limit may be shared with others.
func New(cfg Config, api API, budgets Budgets, limit *rate.Limiter, reg prometheus.Registerer, log zerolog.Logger) *Poller {
	p := &Poller{
		cfg:     cfg,
		paces:   paces{cfg: cfg, byKind: map[string]*usedPace{}, added: make(chan struct{}, 1)},
		api:     api,
		budgets: budgets,
		line:    make(chan struct{}, 1),
		slots:   semaphore.NewWeighted(slots),
		limit:   limit,
		breaker: breaker.New(longestPause),
		log:     log,
	}
	p.metrics = newMetrics(reg, p.pausedGauge, func() float64 { return float64(p.Waiting()) })
	return p
}

// Wait blocks until the workflow has ended, is lost, has an answer that is too large, or its deadline has come.
// If ctx ends first, it returns the cause ([context.Cause]). The outcome is never nil: it holds what was learned so far. An
// outcome with a result holds memory, which the caller frees with Outcome.Release.
//
// A last poll is due shortly before the deadline. A resumed wait polls at least once, for which it has a few seconds
// even after the deadline.
func (p *Poller) Wait(ctx context.Context, watch *task.Watch) (*task.Outcome, error) {
	w := p.begin(watch)
	defer p.end(w)
	for over := false; !over; {
		if w.sleep(ctx) != nil {
			return w.outcome, w.unfinished(ctx)
		}
		if !time.Now().Before(w.giveUp) {
			w.outcome.TimedOut = true
			return w.outcome, nil
		}
		if p.awaitBreaker(ctx, w) != nil || !p.enterLine(ctx, w) {
			w.due = w.giveUp // nothing else is due until then
			continue
		}
		over = p.poll(ctx, w)
	}
	return w.outcome, nil
}

// begin counts a wait that begins. The caller ends it with end.
func (p *Poller) begin(watch *task.Watch) *wait {
	p.waiting.Add(1)
	return p.newWait(watch)
}

// end counts the wait as over and stops its timer.
func (p *Poller) end(w *wait) {
	w.timer.Stop()
	p.waiting.Add(-1)
}

// Waiting returns how many workflows are waited for.
func (p *Poller) Waiting() int { return int(p.waiting.Load()) }

// KeyChanged lets a poll leave at once if polls are paused because of the key or its account.
func (p *Poller) KeyChanged() {
	if p.breaker.Retry(breaker.OfKey()...) {
		p.log.Info().Msg("pause of polls cut short, API key changed")
	}
}

// Paused reports whether polls are paused, why, and until when. A paused worker is ready.
func (p *Poller) Paused() (reason task.Reason, until time.Time, paused bool) {
	return p.breaker.State()
}

// pausedGauge is 1 while polls are paused.
func (p *Poller) pausedGauge() float64 {
	if _, _, paused := p.Paused(); paused {
		return 1
	}
	return 0
}

// metrics are what the polls themselves update. The gauge of paused polls asks the breaker.
type metrics struct {
	inFlight prometheus.Gauge
	due      prometheus.Gauge
	delay    prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, paused, waiting func() float64) metrics {
	auto := promauto.With(reg)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "capstan_polls_paused", Help: "1 while polls are paused, because the API asked for it or rejects the key.",
	}, paused)
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "capstan_workflows_waiting", Help: "Workflows that this worker waits for.",
	}, waiting)
	return metrics{
		inFlight: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_polls_in_flight", Help: "Polls in progress.",
		}),
		due: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_polls_due", Help: "Polls that are due and waiting for memory, a slot or the rate limit.",
		}),
		delay: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_poll_delay_seconds", Help: "Delay between a poll being due and being sent.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
	}
}
