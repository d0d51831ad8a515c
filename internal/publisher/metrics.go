package publisher

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/retry"
)

// calls are the publisher's calls to NATS.
type calls struct {
	event, replay, dead, object, read *retry.Call
}

func newCalls(reg prometheus.Registerer, log zerolog.Logger) calls {
	return calls{
		event:  retry.NewCall("publish_event", 0, reg, log),
		replay: retry.NewCall("publish_replay", 0, reg, log),
		dead:   retry.NewCall("publish_dead_letter", 0, reg, log),
		object: retry.NewCall("store_object", longestUpload, reg, log),
		read:   retry.NewCall("read_event", retry.Quick, reg, log),
	}
}

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
