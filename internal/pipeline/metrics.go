package pipeline

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/capstan-worker/capstan/internal/task"
)

// noCode is the code of a task that succeeded, as a label.
const noCode = "none"

// The steps of Handle: a label of the metrics.
const (
	stepNone    = "" // before the first step, and after the last
	stepClaim   = "claim"
	stepSubmit  = "submit"
	stepPoll    = "poll"
	stepPublish = "publish"
)

// stepMetrics are those of one step.
type stepMetrics struct {
	inFlight prometheus.Gauge
	seconds  prometheus.Observer
}

// enterStep ends the run's step and begins another: it observes the time of the one and counts the run in the gauge of
// the other.
func (r *run) enterStep(next string) {
	now, ended := time.Now(), r.latest()
	if s, ok := r.metrics.steps[ended.Step]; ok {
		s.seconds.Observe(now.Sub(ended.Since).Seconds())
		s.inFlight.Dec()
	}
	r.noteStep(next, now)
	if s, ok := r.metrics.steps[next]; ok {
		s.inFlight.Inc()
	}
}

// metrics are those of all runs.
type metrics struct {
	tasks          *prometheus.CounterVec // by status and code
	takeovers      prometheus.Counter
	retries        *prometheus.CounterVec // by code
	lettersRefused prometheus.Counter
	steps          map[string]stepMetrics // not of stepNone
	agentSteps     *prometheus.CounterVec // by agent and outcome
	credits        *prometheus.CounterVec // by agent and outcome
	queued, ran    prometheus.Histogram
	detectionDelay prometheus.Histogram
	polls          prometheus.Histogram
}

// countEvent counts a stored event.
func (m *metrics) countEvent(ev *task.Event) {
	code := noCode
	if ev.Error != nil {
		code = string(ev.Error.Code)
	}
	m.tasks.WithLabelValues(string(ev.Status), code).Inc()
}

// countUse counts what the sessions of a task with a stored event have used, as far as it is known.
func (m *metrics) countUse(agent string, ev *task.Event) {
	outcome := string(ev.Status)
	if ev.Error != nil {
		outcome = string(ev.Error.Code)
	}
	if ev.Steps != nil && *ev.Steps > 0 {
		m.agentSteps.WithLabelValues(agent, outcome).Add(float64(*ev.Steps))
	}
	if ev.Credits != nil && *ev.Credits > 0 {
		m.credits.WithLabelValues(agent, outcome).Add(*ev.Credits)
	}
}

// agentLabel returns the agent of a run as a label: one of the documented ones, "default" if the request names none, or
// "other". kind is the run's; see task.Request.Kind.
func agentLabel(kind string) string {
	agent, _, _ := strings.Cut(kind, " ")
	switch agent = strings.Trim(agent, `"`); agent {
	case "", "null":
		return "default"
	case "browser-use", "openai-cua", "gemini-computer-use", "anthropic-cua", "yutori":
		return agent
	default:
		return "other"
	}
}

// newMetrics registers the metrics. oldest returns the age of the oldest task without a workflow, in seconds.
func newMetrics(reg prometheus.Registerer, oldest func() float64) metrics {
	f := promauto.With(reg)
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return f.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	m := metrics{
		tasks: f.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_tasks_total", Help: "Events published, by status and error code.",
		}, []string{"status", "code"}),
		takeovers: f.NewCounter(prometheus.CounterOpts{
			Name: "capstan_takeovers_total", Help: "Tasks taken over from an earlier delivery.",
		}),
		lettersRefused: f.NewCounter(prometheus.CounterOpts{
			Name: "capstan_dead_letters_refused_total", Help: "Requests of failed tasks that were not kept, because the dead-letter stream refused them.",
		}),
		retries: f.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_retries_total", Help: "Runs that failed and after which their task is run again, by error code.",
		}, []string{"code"}),
		agentSteps: f.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_steps_total", Help: "Steps of agents in the sessions of tasks, by agent and outcome of the task.",
		}, []string{"agent", "outcome"}),
		credits: f.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_credits_total", Help: "Credits that the sessions of tasks have used, by agent and outcome of the task.",
		}, []string{"agent", "outcome"}),
		queued: histogram("capstan_task_queued_seconds", "Time from storing the request to the start of its workflow.",
			prometheus.ExponentialBuckets(0.005, 4, 12)),
		ran: histogram("capstan_task_run_seconds", "Time from the start of the workflow to the task's event.",
			prometheus.ExponentialBuckets(0.5, 2, 15)),
		detectionDelay: histogram("capstan_task_detection_delay_seconds",
			"Upper bound on the time from the workflow's end to the stored event: since the last poll that found it running.",
			prometheus.ExponentialBuckets(0.01, 2, 13)),
		polls: histogram("capstan_task_polls", "Status calls per task.", prometheus.ExponentialBuckets(1, 2, 12)),
		steps: newStepMetrics(f),
	}
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "capstan_oldest_waiting_seconds", Help: "Age of the oldest request whose workflow has not started.",
		ConstLabels: prometheus.Labels{"where": "worker"},
	}, oldest)
	m.createSeries()
	return m
}

// createSeries creates the series of every label: rate() does not see the first event of a series that begins with it.
func (m *metrics) createSeries() {
	m.tasks.WithLabelValues(string(task.Succeeded), noCode)
	for _, code := range task.Codes() {
		m.tasks.WithLabelValues(string(task.Failed), string(code))
	}
	for _, code := range task.Retriable() {
		m.retries.WithLabelValues(string(code))
	}
}

// newStepMetrics registers the metrics of each step.
func newStepMetrics(f promauto.Factory) map[string]stepMetrics {
	inFlight := f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "capstan_tasks_in_flight", Help: "Tasks in progress on this worker, by step.",
	}, []string{"step"})
	seconds := f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "capstan_step_seconds", Help: "Time that a task spent in a step, until the next step or the end of the delivery.",
		Buckets: prometheus.ExponentialBuckets(0.001, 4, 12),
	}, []string{"step"})
	all := map[string]stepMetrics{}
	for _, step := range []string{stepClaim, stepSubmit, stepPoll, stepPublish} {
		all[step] = stepMetrics{inFlight: inFlight.WithLabelValues(step), seconds: seconds.WithLabelValues(step)}
	}
	return all
}
