package consumer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/capstan-worker/capstan/internal/task"
)

type metrics struct {
	deliveries, redeliveries, pullErrors, panics prometheus.Counter

	released         *prometheus.CounterVec // by verdict
	heartbeatSeconds prometheus.Histogram
}

// released says how a request was released. It is the label of a counter.
type released string

const (
	acked           released = "acked"            // the request is done
	nacked          released = "nacked"           // another worker took the task over and lost it again: it starts over here
	handedOver      released = "handed_over"      // a drain sent it to another worker
	leaseLost       released = "lease_lost"       // another worker has it, or may have it
	failed          released = "failed"           // the handler failed: it is redelivered after ACK_WAIT
	streamRecreated released = "stream_recreated" // its stream was recreated, so there is nothing to answer
)

func newMetrics(reg prometheus.Registerer, limit int, inProgress func() float64) metrics {
	auto := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "capstan_requests_in_progress", Help: "Requests that this worker has in progress.",
	}, inProgress)
	auto.NewGauge(prometheus.GaugeOpts{
		Name: "capstan_requests_in_progress_limit", Help: "Requests that this worker may have in progress: MAX_IN_FLIGHT.",
	}).Set(float64(limit))
	m := metrics{
		deliveries:   counter("capstan_deliveries_total", "Deliveries of requests, including redeliveries."),
		redeliveries: counter("capstan_redeliveries_total", "Redeliveries of requests."),
		pullErrors:   counter("capstan_pull_errors_total", "Pulls that failed."),
		panics:       counter("capstan_handler_panics_total", "Panics of handlers. The worker survives them."),
		released: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_requests_released_total", Help: "Requests that this worker released, by verdict.",
		}, []string{"verdict"}),
		heartbeatSeconds: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_heartbeat_burst_seconds", Help: "Time to send the heartbeats of all requests in progress.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
	}
	for _, r := range []released{acked, nacked, handedOver, leaseLost, failed, streamRecreated} {
		m.released.WithLabelValues(string(r))
	}
	return m
}

func (m metrics) countRelease(r released) { m.released.WithLabelValues(string(r)).Inc() }

func (m metrics) countDelivery(d *task.Delivery) {
	m.deliveries.Inc()
	if d.Deliveries > 1 {
		m.redeliveries.Inc()
	}
}
