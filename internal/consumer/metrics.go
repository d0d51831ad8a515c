package consumer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	requests, redeliveries, pullErrors, panics prometheus.Counter
	settled                                    *prometheus.CounterVec // by verdict
	beatSeconds                                prometheus.Histogram
}

// verdict is what became of a held request: the label of a counter.
type verdict string

const (
	done       verdict = "done"        // acknowledged
	handedOver verdict = "handed_over" // given back by a drain
	leftAlone  verdict = "left_alone"  // it is, or may be, another worker's
	failed     verdict = "failed"      // it comes back after ACK_WAIT
	gone       verdict = "gone"        // its stream was made anew
)

func newMetrics(reg prometheus.Registerer, limit int, held func() float64) metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "capstan_held_requests", Help: "Requests held un-acknowledged."}, held)
	f.NewGauge(prometheus.GaugeOpts{
		Name: "capstan_held_requests_limit", Help: "Requests that this worker may hold: MAX_IN_FLIGHT.",
	}).Set(float64(limit))
	m := metrics{
		settled: f.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_requests_settled_total", Help: "Held requests that were let go, by verdict.",
		}, []string{"verdict"}),
		requests:     counter("capstan_requests_total", "Deliveries of requests, first ones and later ones."),
		redeliveries: counter("capstan_redeliveries_total", "Requests delivered again."),
		pullErrors:   counter("capstan_pull_errors_total", "Pulls that ended with an error."),
		panics:       counter("capstan_handler_panics_total", "Panics contained to one request."),
		beatSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_heartbeat_burst_seconds", Help: "Time to send the heartbeats of everything held.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
	}
	for _, v := range []verdict{done, handedOver, leftAlone, failed, gone} {
		m.settled.WithLabelValues(string(v))
	}
	return m
}

func (m metrics) settle(v verdict) { m.settled.WithLabelValues(string(v)).Inc() }
