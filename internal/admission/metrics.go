package admission

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/capstan-worker/capstan/internal/task"
)

type metrics struct {
	pauses  *prometheus.CounterVec // by reason
	inUse   prometheus.Gauge
	waiting prometheus.Gauge
	waited  prometheus.Histogram
}

// newMetrics creates the series of every reason, so that an alert can distinguish "never" from "not measured". paused
// reports whether submissions are paused for a reason.
func newMetrics(reg prometheus.Registerer, slots int, paused func(task.Reason) bool) metrics {
	auto := promauto.With(reg)
	m := metrics{
		pauses: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_pauses_total", Help: "Pauses of submissions, by reason.",
		}, []string{"reason"}),
		inUse: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_submit_slots_in_use", Help: "Submissions in progress.",
		}),
		waiting: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_submissions_waiting", Help: "Tasks waiting for a submission slot, the end of a pause, or the rate limit.",
		}),
		waited: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_submission_wait_seconds", Help: "Time that a submission waited for a slot, the end of a pause, and the rate limit.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 11),
		}),
	}
	auto.NewGauge(prometheus.GaugeOpts{
		Name: "capstan_submit_slots_limit", Help: "Maximum number of concurrent submissions (SUBMIT_CONCURRENCY).",
	}).Set(float64(slots))
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
