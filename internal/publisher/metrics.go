package publisher

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
)

// calls are the publisher's calls to NATS.
type calls struct {
	event, replay, dead, object, read *jet.Call
}

func newCalls(reg prometheus.Registerer, log zerolog.Logger) calls {
	return calls{
		event:  jet.NewCall("publish_event", 0, reg, log),
		replay: jet.NewCall("publish_replay", 0, reg, log),
		dead:   jet.NewCall("publish_dead_letter", 0, reg, log),
		object: jet.NewCall("store_object", longestUpload, reg, log),
		read:   jet.NewCall("read_event", jet.Quick, reg, log),
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
		deadLetters:  counter("capstan_dead_letters_total", "Requests stored as dead letters."),
		largeResults: counter("capstan_large_results_total", "Results stored in the object store."),
	}
}
