package jet

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"
)

// How long one try may take: a Quick one is a single message each way, a Slow one carries a large
// result. A connection that breaks leaves a call without an answer, so that this is also how long a
// worker needs to notice.
const (
	Quick = 2 * time.Second
	Slow  = time.Minute
)

// triesAtOnce bounds the tries of one kind under way. A worker that takes over tens of thousands of tasks
// would else wait for so many answers at once that each comes too late, and ask for all of them again.
const triesAtOnce = 1024

// Call is one kind of call to NATS: what Retry logs and measures it as. It may be shared.
type Call struct {
	name    string
	timeout time.Duration
	log     zerolog.Logger
	places  *semaphore.Weighted // one for each try at once

	seconds prometheus.Histogram
	retries prometheus.Counter
	open    prometheus.Gauge
}

// NewCall returns the kind of call with this name, once for each name in a registry. A try of it that takes
// longer than timeout is given up; with 0 it has a bound of its own. Further tries are logged, a line in ten seconds at most: an outage that
// meets thousands of tasks is a line and not thousands.
func NewCall(name string, timeout time.Duration, reg prometheus.Registerer, log zerolog.Logger) *Call {
	auto := promauto.With(reg)
	labels := prometheus.Labels{"call": name}
	return &Call{
		name: name, timeout: timeout, places: semaphore.NewWeighted(triesAtOnce),
		log: log.Sample(&zerolog.BurstSampler{Burst: 1, Period: 10 * time.Second}),
		seconds: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_nats_call_seconds", Help: "Time of a call to NATS until it was answered, its repetitions included.",
			ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.0005, 4, 10),
		}),
		retries: auto.NewCounter(prometheus.CounterOpts{
			Name: "capstan_nats_retries_total", Help: "Calls to NATS that were tried again.", ConstLabels: labels,
		}),
		open: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_nats_calls_in_flight", Help: "Calls to NATS under way.", ConstLabels: labels,
		}),
	}
}
