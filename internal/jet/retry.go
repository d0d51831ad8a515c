package jet

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"
)

// Time-outs of one attempt. Quick is for a single message each way, Slow for a large result. A call that loses its
// connection gets no answer, so this is also how long a worker may need to notice.
const (
	Quick = 2 * time.Second
	Slow  = time.Minute
)

// Bounds of the wait between two attempts. It grows by half each time, with jitter.
const (
	firstWait   = 50 * time.Millisecond
	longestWait = time.Second
)

// maxConcurrent bounds the attempts of one kind of call. A worker that takes over tens of thousands of tasks would
// otherwise wait for so many answers at once that each comes too late, and ask for all of them again.
const maxConcurrent = 1024

// Call is one kind of call to NATS, by which Retry logs and measures. It is safe for concurrent use.
type Call struct {
	name    string
	timeout time.Duration
	log     zerolog.Logger
	slots   *semaphore.Weighted // one for each concurrent attempt

	seconds  prometheus.Histogram
	retries  prometheus.Counter
	inFlight prometheus.Gauge
}

// NewCall returns the kind of call with this name, which may be used once in a registry. An attempt is canceled after
// timeout; 0 means that the attempts bound themselves. Retries are logged, but at most one line in ten seconds: an
// outage that meets thousands of tasks is one line.
func NewCall(name string, timeout time.Duration, reg prometheus.Registerer, log zerolog.Logger) *Call {
	auto := promauto.With(reg)
	labels := prometheus.Labels{"call": name}
	return &Call{
		name: name, timeout: timeout, slots: semaphore.NewWeighted(maxConcurrent),
		log: log.Sample(&zerolog.BurstSampler{Burst: 1, Period: 10 * time.Second}),
		seconds: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_nats_call_seconds", Help: "Time until a call to NATS was answered, including retries.",
			ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10),
		}),
		retries: auto.NewCounter(prometheus.CounterOpts{
			Name: "capstan_nats_retries_total", Help: "Retries of calls to NATS.", ConstLabels: labels,
		}),
		inFlight: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_nats_calls_in_flight", Help: "Calls to NATS in progress.", ConstLabels: labels,
		}),
	}
}

// AtMost bounds the concurrent attempts of a call whose answers are large. It is called before the first attempt.
func (c *Call) AtMost(attempts int64) *Call {
	c.slots = semaphore.NewWeighted(attempts)
	return c
}

// Retry calls try until it succeeds, and returns its answer. It gives up only with ctx's error, with an error marked
// by [Final], and with nats.ErrConnectionClosed: closing the connection cuts off the calls of a worker that must stop.
// An attempt that timed out may have had its effect, so try must be safe to repeat.
func Retry[T any](ctx context.Context, c *Call, try func(context.Context) (T, error)) (T, error) {
	began := time.Now()
	c.inFlight.Inc()
	defer func() {
		c.inFlight.Dec()
		c.seconds.Observe(time.Since(began).Seconds())
	}()
	attempt := func() (T, error) { return attemptOnce(ctx, c, try) }
	noteRetry := func(err error, wait time.Duration) {
		c.retries.Inc()
		c.log.Warn().Err(err).Str("call", c.name).Stringer("wait", wait).Msg("retrying NATS call")
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.MaxInterval = firstWait, longestWait
	return backoff.Retry(ctx, attempt, backoff.WithBackOff(waits), backoff.WithNotify(noteRetry), backoff.WithMaxElapsedTime(0))
}

// attemptOnce waits for a slot and calls try, within the call's time-out.
func attemptOnce[T any](ctx context.Context, c *Call, try func(context.Context) (T, error)) (answer T, err error) {
	if err := c.slots.Acquire(ctx, 1); err != nil {
		return answer, err
	}
	// Only an attempt has a slot: a call that waits for the next one leaves it to others.
	defer c.slots.Release(1)
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	answer, err = try(ctx)
	if errors.Is(err, nats.ErrConnectionClosed) {
		err = Final(err)
	}
	return answer, err
}

// Final marks an error as the answer to a call: Retry returns it, unmarked, and does not try again.
func Final(err error) error { return backoff.Permanent(err) }
