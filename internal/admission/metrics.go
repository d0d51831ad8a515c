package admission

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/capstan-worker/capstan/internal/task"
)

type metrics struct {
	pauses   *prometheus.CounterVec // by reason
	refusals *prometheus.CounterVec // by limit
	inUse    prometheus.Gauge
	waiting  prometheus.Gauge
	waited   prometheus.Histogram
}

// The limits of a plan, as values of the label "limit".
const (
	ofBrowsers = "browsers" // that run at once
	ofStarts   = "starts"   // in a window of time
)

// newMetrics creates the series of every reason, so that an alert can distinguish "never" from "not measured". paused
// reports whether submissions are paused for a reason, and starts how many remain.
func newMetrics(reg prometheus.Registerer, slots int, paused func(task.Reason) bool, starts func() (int, bool)) metrics {
	auto := promauto.With(reg)
	m := metrics{
		pauses: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_pauses_total", Help: "Pauses of submissions, by reason.",
		}, []string{"reason"}),
		refusals: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_plan_refusals_total", Help: "Submissions that the API refused because a limit of the plan was reached, by limit.",
		}, []string{"limit"}),
		inUse: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_submit_slots_in_use", Help: "Submissions in progress.",
		}),
		waiting: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_submissions_waiting", Help: "Tasks waiting for a submission slot, the end of a pause or of the API's window of submissions, or the rate limit.",
		}),
		waited: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_submission_wait_seconds", Help: "Time that a submission waited for a slot, the end of a pause or of the API's window of submissions, and the rate limit.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 11),
		}),
	}
	for _, limit := range []string{ofBrowsers, ofStarts} {
		m.refusals.WithLabelValues(limit)
	}
	auto.NewGauge(prometheus.GaugeOpts{
		Name: "capstan_submit_slots_limit", Help: "Maximum number of concurrent submissions (SUBMIT_CONCURRENCY).",
	}).Set(float64(slots))
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "capstan_starts_remaining",
		Help: "Submissions that the API accepts before the end of its window, as far as this worker knows; -1 if the API does not tell.",
	}, func() float64 {
		if free, told := starts(); told {
			return float64(free)
		}
		return -1
	})
	for _, reason := range task.Reasons() {
		m.pauses.WithLabelValues(string(reason))
		auto.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "capstan_submissions_paused", Help: "1 while submissions are paused for this reason.",
			ConstLabels: prometheus.Labels{"reason": string(reason)},
		}, func() float64 {
			if paused(reason) {
				return 1
			}
			return 0
		})
	}
	return m
}
