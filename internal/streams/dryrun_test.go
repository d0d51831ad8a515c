package streams_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/streams"
)

func TestADryRunReportsWhatNATSWouldRefuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, conf string
		before     func(*world)
		edit       func(*streams.Config)
		says, real string
	}{
		{
			name: "replicas without a cluster", conf: account("enabled"), edit: func(c *streams.Config) { c.NATS.Replicas = 3 },
			says: "replicas: NATS_REPLICAS must be 1, because the server is not in a cluster (got 3)", real: "replicas > 1 not supported",
		},
		{
			name: "subjects of another stream", conf: account("enabled"),
			before: func(w *world) { w.create(jetstream.StreamConfig{Name: "ALL", Subjects: []string{"tasks.>"}}) },
			says:   "stream TASKS: NATS will refuse its subjects: they overlap with those of stream ALL", real: "its subjects overlap with those of stream ALL",
		},
		{
			name: "max streams", conf: account("{ max_streams: 3 }"),
			says: "account: max streams is 3, of which 0 exist: NATS will refuse some of the 5 missing streams", real: "maximum number of streams reached",
		},
		{
			name: "max bytes required", conf: account("{ max_bytes_required: true }"),
			says: "account: max bytes is required for each stream", real: "requires a stream config to have max bytes set",
		},
		{
			name: "max ack pending", conf: account("{ max_ack_pending: 100 }"),
			says: "account: max ack pending is at most 100", real: "max ack pending",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := configured(t, c.conf)
			if c.before != nil {
				c.before(w)
			}
			cfg := defaults()
			if c.edit != nil {
				c.edit(&cfg)
			}
			if found := w.dryRun(cfg); !containsLine(found, "fatal: ", c.says) {
				t.Errorf("got\n%s\nwant a fatal line with %q", found, c.says)
			}
			if names := w.names(); len(names) > 1 {
				t.Errorf("got streams %v, want none created", names)
			}
			w.refuses(cfg, c.real)
		})
	}
}

// Even if nothing is missing, a worker needs room for new messages.
func TestADryRunReportsAFullAccount(t *testing.T) {
	t.Parallel()
	w := configured(t, account("{ max_file: 16384 }"))
	cfg := defaults()
	w.provision(cfg)
	if found := w.dryRun(cfg); strings.Contains(found, "fatal: ") {
		t.Errorf("got\n%s\nwant nothing fatal", found)
	}
	for range 1000 {
		if _, err := w.js.Publish(t.Context(), "tasks.request", make([]byte, 512)); err != nil {
			break
		}
	}
	if got := w.dryRun(cfg); !containsLine(got, "fatal: ", "account: max storage is 16384 bytes, of which ") {
		t.Errorf("got\n%s\nwant a fatal line on the storage", got)
	}
}

func TestADryRunReportsTooManyReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	w.provision(cfg)
	cfg.NATS.Replicas = 3
	if found := w.dryRun(cfg); !containsLine(found, "fatal: ", "NATS_REPLICAS must be 1, because the server is not in a cluster (got 3)") {
		t.Errorf("got\n%s\nwant a fatal line on the replicas", found)
	}
	w.refuses(cfg, "stream TASKS: update: ")
	binds := cfg
	binds.NATS.Provision = false
	w.accepts(binds, "replicas should be 3, as set by NATS_REPLICAS (got 1)")
}

func TestADryRunReportsTooManyConsumers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	w.create(jetstream.StreamConfig{
		Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew, MaxConsumers: 1,
	})
	if _, err := w.js.CreateConsumer(t.Context(), "TASKS", jetstream.ConsumerConfig{
		Durable: "other", AckPolicy: jetstream.AckExplicitPolicy, InactiveThreshold: time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
	if found := w.dryRun(cfg); !containsLine(found, "fatal: ", "account: max consumers is 1, and stream TASKS has 1") {
		t.Errorf("got\n%s\nwant a fatal line on the consumers", found)
	}
	w.refuses(cfg, "consumer worker: create: ")
}
