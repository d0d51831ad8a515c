package publisher

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	replays, deadLetters, largeResults prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		return promauto.With(reg).NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	return metrics{
		replays:      counter("capstan_replays_total", "Stored events published again for a repeated request."),
		deadLetters:  counter("capstan_dead_letters_total", "Requests put among the dead letters."),
		largeResults: counter("capstan_large_results_total", "Results put into the object store."),
	}
}
