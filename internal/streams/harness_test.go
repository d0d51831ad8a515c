package streams_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/streams"
)

// defaults are the settings of a worker without any variables.
func defaults() streams.Config {
	return streams.Config{
		NATS:          streams.NATSConfig{Provision: true, Replicas: 1},
		Requests:      streams.Stream{Name: "TASKS", Subject: "tasks.request"},
		Results:       streams.Stream{Name: "TASK_RESULTS", Subject: "tasks.result"},
		Dead:          streams.Stream{Name: "TASK_DEAD", Subject: "tasks.dead"},
		Tracker:       "task_tracker",
		Large:         "task_results",
		Control:       "task_control",
		Consumer:      "worker",
		TrackerTTL:    7 * 24 * time.Hour,
		AckWait:       time.Minute,
		MaxAckPending: 10000,
	}
}

// world is a NATS server, and a client with all permissions.
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

// worker is the binding of a worker that has just started.
func (w *world) worker(cfg streams.Config) *streams.Binding {
	w.t.Helper()
	violations := streams.NewPermissionViolations(cfg, prometheus.NewRegistry(), zerolog.Nop())
	return streams.NewBinding(w.nc, cfg, violations, nil, zerolog.Nop())
}

// provision has a worker create everything.
func (w *world) provision(cfg streams.Config) *streams.Binding {
	w.t.Helper()
	b := w.worker(cfg)
	if err := b.Check(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return b
}

// readyz returns what a worker that starts with these settings answers on /readyz.
func (w *world) readyz(cfg streams.Config) (ready bool, says string) {
	w.t.Helper()
	b := w.worker(cfg)
	_ = b.Check(w.t.Context())
	return b.Ready()
}

// refuses fails the test unless a worker with these settings is not ready, and reports each of the texts.
func (w *world) refuses(cfg streams.Config, texts ...string) {
	w.t.Helper()
	ready, says := w.readyz(cfg)
	if ready {
		w.t.Errorf("got ready, %q, want unready", says)
	}
	for _, text := range texts {
		if !strings.Contains(says, text) {
			w.t.Errorf("got %q, want %q in it", says, text)
		}
	}
}

// accepts fails the test unless a worker with these settings is ready, and reports each of the texts.
func (w *world) accepts(cfg streams.Config, texts ...string) {
	w.t.Helper()
	ready, says := w.readyz(cfg)
	if !ready {
		w.t.Errorf("got unready, %q, want ready", says)
	}
	for _, text := range texts {
		if !strings.Contains(says, text) {
			w.t.Errorf("got %q, want %q in it", says, text)
		}
	}
}

// dryRun returns a line for each problem that a dry run reports.
func (w *world) dryRun(cfg streams.Config) string {
	w.t.Helper()
	ask := func(ctx context.Context, call func(context.Context) error) error { return call(ctx) }
	run := streams.DryRun{Conn: w.nc, Clock: &servertime.Clock{}, Ask: ask}
	reports, err := run.Run(w.t.Context(), cfg)
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

// replace recreates a stream with a configuration to which NATS would not change it.
func (w *world) replace(name string, edit func(*jetstream.StreamConfig)) {
	w.t.Helper()
	cfg := w.stream(name).Config
	if err := w.js.DeleteStream(w.t.Context(), name); err != nil {
		w.t.Fatal(err)
	}
	edit(&cfg)
	w.create(cfg)
}

// replaceConsumer recreates the workers' consumer likewise.
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

// consumer returns the workers' consumer.
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

// silent is a world in which NATS runs without JetStream.
func silent(t *testing.T) *world {
	t.Helper()
	return configured(t, "accounts { A { users: [{ user: a, password: x }] }, SYS { users: [{ user: s, password: x }] } }\nsystem_account: SYS\n")
}

// misconfigured is a worker whose last check found a violation.
func (w *world) misconfigured(cfg streams.Config) *streams.Binding {
	w.t.Helper()
	cfg.NATS.Provision, cfg.AckWait = false, 2*time.Minute
	b := w.worker(cfg)
	if err := b.Check(w.t.Context()); err == nil {
		w.t.Fatal("got no error, want one on the ack wait")
	}
	return b
}

// configured is a world whose server has a configuration. The test connects as user a.
func configured(t *testing.T, conf string) *world {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, nats: natstest.StartWith(t, natsserver.Config{File: file})}
	w.nc, w.js = w.nats.Connect(nats.UserInfo("a", "x"))
	return w
}

// account is the configuration of one account whose JetStream has these limits.
func account(limits string) string {
	return "accounts { A { jetstream " + limits + ", users: [{ user: a, password: x }] } }\n"
}

func (w *world) names() []string {
	w.t.Helper()
	var all []string
	for name := range w.js.StreamNames(w.t.Context()).Name() {
		all = append(all, name)
	}
	return all
}

// provisionConsumer creates the consumer that was deleted with its stream.
func (w *world) provisionConsumer(cfg streams.Config) {
	w.t.Helper()
	_ = w.worker(cfg).Check(w.t.Context()) // it fails because of the stream
}

func containsLine(text, prefix, part string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) && strings.Contains(line, part) {
			return true
		}
	}
	return false
}

// publishesOn fails the test unless the other application can still publish.
func (w *world) publishesOn(cfg jetstream.StreamConfig) {
	w.t.Helper()
	if cfg.NoAck {
		return
	}
	for i := range 8 {
		if _, err := w.js.Publish(w.t.Context(), strings.ReplaceAll(cfg.Subjects[0], ">", fmt.Sprint(i)), nil); err != nil {
			w.t.Errorf("the other application's publish %d: %v", i, err)
		}
	}
}
