package publisher

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
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
	replays, largeResults prometheus.Counter
	deadLetters           *prometheus.CounterVec // by code
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string) prometheus.Counter {
		return promauto.With(reg).NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := metrics{
		replays:      counter("capstan_replays_total", "Stored events published again for a repeated request."),
		largeResults: counter("capstan_large_results_total", "Results stored in the object store."),
		deadLetters: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
			Name: "capstan_dead_letters_total", Help: "Requests stored as dead letters, by error code of their task.",
		}, []string{"code"}),
	}
	for _, code := range task.Codes() { // rate() does not see the first event of a series that begins with it
		m.deadLetters.WithLabelValues(string(code))
	}
	return m
}
