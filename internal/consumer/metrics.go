package consumer

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	redeliveries, handovers, pullErrors, panics prometheus.Counter
	beatSeconds                                 prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, held func() float64) metrics {
	f := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return f.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{Name: "capstan_held_requests", Help: "Requests held un-acknowledged."}, held)
	return metrics{
		redeliveries: counter("capstan_redeliveries_total", "Requests delivered again."),
		handovers:    counter("capstan_handovers_total", "Tasks given back when the worker was told to stop."),
		pullErrors:   counter("capstan_pull_errors_total", "Pulls that ended with an error."),
		panics:       counter("capstan_handler_panics_total", "Panics contained to one request."),
		beatSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_heartbeat_burst_seconds", Help: "Time to send the heartbeats of everything held.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
	}
}
