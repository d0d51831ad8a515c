package pipeline

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/capstan-worker/capstan/internal/task"
)

// noCode is the code of a task that succeeded, as a label.
const noCode = "none"

// step is where in Handle a run is: the label of the in-flight gauge.
type step string

const (
	stepNone    step = ""
	stepClaim   step = "claim"
	stepSubmit  step = "submit"
	stepPoll    step = "poll"
	stepPublish step = "publish"
)

// enterStep moves the run from one step's gauge to another's, and notes how long the first took.
func (r *run) enterStep(s step) {
	now := time.Now()
	if r.step != stepNone {
		r.metrics.steps.WithLabelValues(string(r.step)).Observe(now.Sub(r.since).Seconds())
		r.metrics.inFlight.WithLabelValues(string(r.step)).Dec()
	}
	r.since = now
	if r.step = s; s != stepNone {
		r.metrics.inFlight.WithLabelValues(string(s)).Inc()
	}
}

type metrics struct {
	tasks                  *prometheus.CounterVec
	inFlight               *prometheus.GaugeVec
	takeovers              prometheus.Counter
	steps                  *prometheus.HistogramVec // by step
	queued, ran, unnoticed prometheus.Histogram
	polls                  prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer, oldest func() float64) metrics {
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
		unnoticed: histogram("capstan_task_detected_seconds", "Longest time from the workflow's end to its stored event: since the last call that said it runs.",
			prometheus.ExponentialBuckets(0.01, 2, 13)),
		polls: histogram("capstan_task_polls", "Status calls of a task.", prometheus.ExponentialBuckets(1, 2, 12)),
		steps: f.NewHistogramVec(prometheus.HistogramOpts{
			Name: "capstan_step_seconds", Help: "Time of a task in a step, until it went on or was given back.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 12),
		}, []string{"step"}),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "capstan_oldest_waiting_seconds", Help: "Age of the oldest request whose workflow has not begun.",
		ConstLabels: prometheus.Labels{"where": "worker"},
	}, oldest)
	m.tasks.WithLabelValues(string(task.Succeeded), noCode)
	for _, code := range task.Codes() {
		m.tasks.WithLabelValues(string(task.Failed), string(code))
	}
	for _, s := range []step{stepClaim, stepSubmit, stepPoll, stepPublish} {
		m.inFlight.WithLabelValues(string(s))
		m.steps.WithLabelValues(string(s))
	}
	return m
}
