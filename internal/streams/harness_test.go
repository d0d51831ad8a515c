package streams_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/streams"
)

// defaults are the settings of a worker that is told nothing.
func defaults() streams.Config {
	return streams.Config{
		NATS:          streams.NATSConfig{Provision: true, Replicas: 1},
		Requests:      streams.Stream{Name: "TASKS", Subject: "tasks.request"},
		Results:       streams.Stream{Name: "TASK_RESULTS", Subject: "tasks.result"},
		Dead:          streams.Stream{Name: "TASK_DEAD", Subject: "tasks.dead"},
		Tracker:       "task_tracker",
		Large:         "task_results",
		Consumer:      "worker",
		TrackerTTL:    7 * 24 * time.Hour,
		AckWait:       time.Minute,
		MaxAckPending: 10000,
	}
}

// world is a NATS server and what stands on it.
type world struct {
	t    *testing.T
	nats *natstest.Server
	nc   *nats.Conn
	js   jetstream.JetStream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, nats: natstest.Start(t)}
	w.nc, w.js = w.nats.Connect()
	return w
}

// worker is a worker as far as its streams go: it has just started.
func (w *world) worker(cfg streams.Config) *streams.Binding {
	w.t.Helper()
	denied := streams.NewPermissionViolations(cfg, prometheus.NewRegistry(), zerolog.Nop())
	return streams.NewBinding(w.nc, cfg, denied, nil, zerolog.Nop())
}

// provision lets a worker create everything.
func (w *world) provision(cfg streams.Config) *streams.Binding {
	w.t.Helper()
	b := w.worker(cfg)
	if err := b.Check(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return b
}

// look returns what a worker that starts with these settings says on /readyz.
func (w *world) look(cfg streams.Config) (ready bool, says string) {
	w.t.Helper()
	b := w.worker(cfg)
	_ = b.Check(w.t.Context())
	return b.Ready()
}

// refuses fails the test unless a worker with these settings is not ready, and says each of the texts.
func (w *world) refuses(cfg streams.Config, texts ...string) {
	w.t.Helper()
	ready, says := w.look(cfg)
	if ready {
		w.t.Errorf("got a ready worker, %q, want one that is not", says)
	}
	for _, text := range texts {
		if !strings.Contains(says, text) {
			w.t.Errorf("got %q, want %q in it", says, text)
		}
	}
}

// accepts fails the test unless a worker with these settings is ready, and says each of the texts.
func (w *world) accepts(cfg streams.Config, texts ...string) {
	w.t.Helper()
	ready, says := w.look(cfg)
	if !ready {
		w.t.Errorf("got a worker that is not ready: %s", says)
	}
	for _, text := range texts {
		if !strings.Contains(says, text) {
			w.t.Errorf("got %q, want %q in it", says, text)
		}
	}
}

// inspect is a dry run.
func (w *world) inspect(cfg streams.Config) string {
	w.t.Helper()
	ask := func(ctx context.Context, call func(context.Context) error) error { return call(ctx) }
	dryRun := streams.DryRun{Conn: w.nc, Clock: &servertime.Clock{}, Ask: ask}
	reports, err := dryRun.Run(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	var says []string
	for _, r := range reports {
		for _, p := range r.Problems {
			level := "fatal"
			if p.Warning || p.Repairable {
				level = "warning"
			}
			says = append(says, level+": "+r.Resource+": "+p.Text)
		}
	}
	return strings.Join(says, "\n")
}

// create creates a stream as another application, or an operator, would.
func (w *world) create(cfg jetstream.StreamConfig) {
	w.t.Helper()
	natstest.Stream(w.t, w.js, cfg)
}

// change changes a stream's configuration as an operator would.
func (w *world) change(name string, edit func(*jetstream.StreamConfig)) {
	w.t.Helper()
	cfg := w.stream(name).Config
	edit(&cfg)
	if _, err := w.js.UpdateStream(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

// replace creates a stream in the place of one, with a configuration that NATS would not change.
func (w *world) replace(name string, edit func(*jetstream.StreamConfig)) {
	w.t.Helper()
	cfg := w.stream(name).Config
	if err := w.js.DeleteStream(w.t.Context(), name); err != nil {
		w.t.Fatal(err)
	}
	edit(&cfg)
	w.create(cfg)
}

// replaceConsumer does likewise with the workers' consumer.
func (w *world) replaceConsumer(edit func(*jetstream.ConsumerConfig)) {
	w.t.Helper()
	cfg := w.consumer().Config
	if err := w.js.DeleteConsumer(w.t.Context(), "TASKS", "worker"); err != nil {
		w.t.Fatal(err)
	}
	edit(&cfg)
	if _, err := w.js.CreateConsumer(w.t.Context(), "TASKS", cfg); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stream(name string) *jetstream.StreamInfo {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo()
}

// consumer returns the workers'.
func (w *world) consumer() *jetstream.ConsumerInfo {
	w.t.Helper()
	c, err := w.js.Consumer(w.t.Context(), "TASKS", "worker")
	if err != nil {
		w.t.Fatal(err)
	}
	return c.CachedInfo()
}

// configs returns the configurations of a stream and all its consumers, byte for byte.
func (w *world) configs(name string) string {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	all := []any{s.CachedInfo().Config}
	consumers := s.ListConsumers(w.t.Context())
	for c := range consumers.Info() {
		all = append(all, c.Config)
	}
	if err := consumers.Err(); err != nil {
		w.t.Fatal(err)
	}
	text, err := json.Marshal(all)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}
