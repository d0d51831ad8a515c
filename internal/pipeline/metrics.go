package pipeline

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// step is where in Handle a run is: the label of the in-flight gauge.
type step string

const (
	stepNone    step = ""
	stepClaim   step = "claim"
	stepSubmit  step = "submit"
	stepPoll    step = "poll"
	stepPublish step = "publish"
)

// enterStep moves the run from one step's gauge to another's.
func (r *run) enterStep(s step) {
	if r.step != stepNone {
		r.metrics.inFlight.WithLabelValues(string(r.step)).Dec()
	}
	if r.step = s; s != stepNone {
		r.metrics.inFlight.WithLabelValues(string(s)).Inc()
	}
}

type metrics struct {
	tasks                  *prometheus.CounterVec
	inFlight               *prometheus.GaugeVec
	takeovers              prometheus.Counter
	queued, ran, unnoticed prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) metrics {
	f := promauto.With(reg)
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return f.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	m := metrics{
		tasks: f.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_tasks_total", Help: "Events published, by status and error code.",
		}, []string{"status", "code"}),
		inFlight: f.NewGaugeVec(prometheus.GaugeOpts{
			Name: "capstan_tasks_in_flight", Help: "Tasks held by this worker, by step.",
		}, []string{"step"}),
		takeovers: f.NewCounter(prometheus.CounterOpts{
			Name: "capstan_takeovers_total", Help: "Tasks taken over from an earlier delivery.",
		}),
		queued: histogram("capstan_task_queued_seconds", "From the request's storing to its workflow's start.",
			prometheus.ExponentialBuckets(0.005, 4, 12)),
		ran: histogram("capstan_task_run_seconds", "From the workflow's start to its event.",
			prometheus.ExponentialBuckets(0.5, 2, 15)),
		unnoticed: histogram("capstan_task_detected_seconds", "Longest time the workflow's end can have gone unnoticed.",
			prometheus.ExponentialBuckets(0.01, 2, 13)),
	}
	for _, s := range []step{stepClaim, stepSubmit, stepPoll, stepPublish} {
		m.inFlight.WithLabelValues(string(s))
	}
	return m
}
