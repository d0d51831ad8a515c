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

// newMetrics makes every reason's series, so that an alert can tell "never" from "not measured". paused
// says whether submissions are paused for a reason now.
func newMetrics(reg prometheus.Registerer, slots int, paused func(task.Reason) bool) metrics {
	auto := promauto.With(reg)
	m := metrics{
		pauses: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_pauses_total", Help: "Pauses of all submissions that began.",
		}, []string{"reason"}),
		inUse: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_submit_slots_in_use", Help: "Submissions that were let through and are under way.",
		}),
		waiting: auto.NewGauge(prometheus.GaugeOpts{
			Name: "capstan_submissions_waiting", Help: "Tasks that wait for a slot, the end of a pause, or the rate.",
		}),
		waited: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "capstan_submission_wait_seconds", Help: "Time that a submission waited before it was let through.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 11),
		}),
	}
	auto.NewGauge(prometheus.GaugeOpts{
		Name: "capstan_submit_slots_limit", Help: "Submissions that may be under way at once: SUBMIT_CONCURRENCY.",
	}).Set(float64(slots))
	for _, reason := range task.Reasons() {
		m.pauses.WithLabelValues(string(reason))
		auto.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "capstan_submissions_paused", Help: "Whether submissions are paused, and why.",
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
