package publisher

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
)

// calls are the kinds of the publisher's calls to NATS. The first three have the time-out of the batcher.
type calls struct {
	event  *jet.Call // publishes a new event
	replay *jet.Call // publishes a stored event again
	dead   *jet.Call // publishes a dead letter
	object *jet.Call // uploads an object and reads it back
	read   *jet.Call // reads a stored event
	search *jet.Call // searches for stored events
}

// newCalls returns the calls, with their time-outs; 0 is for those that bound themselves. It may be called
// once for a registry.
func newCalls(reg prometheus.Registerer, log zerolog.Logger) calls {
	return calls{
		event:  jet.NewCall("publish_event", 0, reg, log),
		replay: jet.NewCall("publish_replay", 0, reg, log),
		dead:   jet.NewCall("publish_dead_letter", 0, reg, log),
		object: jet.NewCall("store_object", longestUpload, reg, log),
		read:   jet.NewCall("read_event", jet.Quick, reg, log),
		search: jet.NewCall("search_events", 0, reg, log),
	}
}

// metrics count the less usual ways of publishing. The pipeline counts events, in capstan_tasks_total.
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
