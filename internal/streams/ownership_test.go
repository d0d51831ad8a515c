package streams_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What another application created under one of Capstan's names stays unchanged, and continues to work.
func TestStreamsOfOtherApplicationsAreLeftAlone(t *testing.T) {
	t.Parallel()
	for _, other := range []struct {
		name string
		cfg  jetstream.StreamConfig
		says []string
	}{
		{
			"a log called TASKS", jetstream.StreamConfig{
				Name: "TASKS", Subjects: []string{"billing.tasks.>"}, Retention: jetstream.LimitsPolicy, MaxAge: time.Hour, MaxMsgs: 5, Discard: jetstream.DiscardOld,
			}, []string{"stream TASKS: belongs to another application", "retention must be workqueue (got limits)", "subjects must include tasks.request (got [billing.tasks.>])"},
		},
		{
			"a work queue called TASKS",
			jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"billing.tasks.>"}, Retention: jetstream.WorkQueuePolicy},
			[]string{"stream TASKS: belongs to another application", "subjects must include tasks.request"},
		},
		{
			"a log that takes requests",
			jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.>"}, MaxAge: time.Hour},
			[]string{"stream TASKS: belongs to another application", "retention must be workqueue (got limits)"},
		},
		{
			"a log called TASK_RESULTS",
			jetstream.StreamConfig{Name: "TASK_RESULTS", Subjects: []string{"billing.results"}, NoAck: true},
			[]string{"stream TASK_RESULTS: belongs to another application", "subjects must include tasks.result"},
		},
		{
			"a work queue called TASK_DEAD",
			jetstream.StreamConfig{Name: "TASK_DEAD", Subjects: []string{"tasks.dead"}, Retention: jetstream.WorkQueuePolicy},
			[]string{"stream TASK_DEAD: belongs to another application", "retention must be limits (got workqueue)"},
		},
		{
			"a stream of files",
			jetstream.StreamConfig{Name: "OBJ_task_results", Subjects: []string{"files.>"}},
			[]string{"object store task_results: belongs to another application"},
		},
		{
			"Capstan's own, for something else", jetstream.StreamConfig{
				Name: "TASK_DEAD", Subjects: []string{"tasks.dead"}, Metadata: map[string]string{"capstan": "results"},
			}, []string{"metadata capstan must be dead-letters (got results)"},
		},
	} {
		t.Run(other.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.create(other.cfg)
			before := w.configs(other.cfg.Name)
			w.refuses(defaults(), other.says...)
			if found := w.dryRun(defaults()); !containsLine(found, "fatal: ", "belongs to another application") {
				t.Errorf("a dry run: got\n%s", found)
			}
			if after := w.configs(other.cfg.Name); after != before {
				t.Errorf("got\n%s\nwant\n%s", after, before)
			}
			w.publishesOn(other.cfg)
		})
	}
}

func TestAConsumerOfAnotherApplicationIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, subjects := range map[string][]string{"on a stream of its own": {"billing.tasks.>"}, "on the requests' stream": {"tasks.request", "billing.tasks.>"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.create(jetstream.StreamConfig{Name: "TASKS", Subjects: subjects, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew})
			if _, err := w.js.CreateConsumer(t.Context(), "TASKS", jetstream.ConsumerConfig{
				Durable: "worker", FilterSubject: "billing.tasks.>", MaxDeliver: 5, AckWait: 30 * time.Second, AckPolicy: jetstream.AckExplicitPolicy,
			}); err != nil {
				t.Fatal(err)
			}
			before := w.consumer().Config
			w.refuses(defaults(), "consumer worker: belongs to another application", "filter must include tasks.request (got billing.tasks.>)")
			if after := w.consumer().Config; fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("got %+v, want %+v", after, before)
			}
			if _, err := w.js.Publish(t.Context(), "billing.tasks.1", []byte("bill")); err != nil {
				t.Fatal(err)
			}
			c, err := w.js.Consumer(t.Context(), "TASKS", "worker")
			if err != nil {
				t.Fatal(err)
			}
			if msg, err := c.Next(jetstream.FetchMaxWait(10 * time.Second)); err != nil || string(msg.Data()) != "bill" {
				t.Errorf("the other application got %v, %v, want its message", msg, err)
			}
		})
	}
}

// All buckets have the same retention, and their subjects follow from the name. Those of older workers expire their keys.
func TestABucketOfAnotherApplicationIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kv, err := w.js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "task_tracker", History: 5, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	before := w.configs("KV_task_tracker")
	w.refuses(defaults(), "bucket task_tracker: belongs to another application", "allow message TTL must be on")
	if after := w.configs("KV_task_tracker"); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
	if _, err := kv.PutString(t.Context(), "theirs", "x"); err != nil {
		t.Error(err)
	}
}

// Older versions set no mark, nor do operators.
func TestUnmarkedResourcesOfCapstanAreRepairedAndMarked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	w.provision(cfg)
	names := map[string]string{
		"TASKS": "requests", "TASK_RESULTS": "results", "TASK_DEAD": "dead-letters", "KV_task_tracker": "records", "OBJ_task_results": "large-results",
	}
	for name := range names {
		w.change(name, func(c *jetstream.StreamConfig) {
			c.Metadata = map[string]string{"team": "web"}
			c.MaxMsgs = 1000
			if name == "TASKS" {
				c.MaxAge = time.Hour
			}
		})
	}
	w.replaceConsumer(func(c *jetstream.ConsumerConfig) { c.Metadata, c.MaxDeliver = nil, 5 })
	w.accepts(cfg, "bound")
	for name, purpose := range names {
		got := w.stream(name).Config
		if got.Metadata["capstan"] != purpose || got.Metadata["team"] != "web" || got.MaxMsgs != 1000 {
			t.Errorf("%s: got metadata %v and max messages %d, want the mark %s and the operator's", name, got.Metadata, got.MaxMsgs, purpose)
		}
	}
	if got := w.stream("TASKS").Config.MaxAge; got != 0 {
		t.Errorf("max age: got %v, want 0", got)
	}
	if got := w.consumer().Config; got.MaxDeliver != -1 || got.Metadata["capstan"] != "worker" {
		t.Errorf("got max deliver %d and metadata %v, want -1 and the mark", got.MaxDeliver, got.Metadata)
	}
	// With the mark, a changed setting is not taken for another application.
	moved := cfg
	moved.Requests.Subject = "jobs.new"
	w.accepts(moved, "bound")
	if got := w.stream("TASKS").Config.Subjects; len(got) != 2 {
		t.Errorf("subjects: got %v, want the old one and the new one", got)
	}
	if got := w.consumer().Config.FilterSubject; got != "jobs.new" {
		t.Errorf("filter: got %s, want the new subject", got)
	}
}

// A worker works without the mark, and the logins of older versions may not update streams.
func TestALoginThatMayNotUpdateNeedsNoMark(t *testing.T) {
	t.Parallel()
	w := configured(t, `accounts { A { jetstream: enabled, users: [
		{ user: a, password: x }
		{ user: b, password: x, permissions: { publish: { deny: ["$JS.API.STREAM.UPDATE.*", "$JS.API.CONSUMER.CREATE.>"] } } }
	] } }`)
	cfg := defaults()
	w.provision(cfg)
	for _, name := range []string{"TASKS", "TASK_RESULTS", "TASK_DEAD", "KV_task_tracker", "OBJ_task_results"} {
		w.change(name, func(c *jetstream.StreamConfig) { c.Metadata = nil })
	}
	w.replaceConsumer(func(c *jetstream.ConsumerConfig) { c.Metadata = nil })
	w.nc, w.js = w.nats.Connect(nats.UserInfo("b", "x"))
	w.accepts(cfg, "bound")
}

// Without NATS_PROVISION nothing is changed, not even to set the mark.
func TestWithoutProvisionNothingIsChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	w.provision(cfg)
	w.change("TASKS", func(c *jetstream.StreamConfig) { c.Metadata = nil })
	before := w.configs("TASKS")
	cfg.NATS.Provision = false
	w.accepts(cfg, "bound")
	if after := w.configs("TASKS"); after != before {
		t.Errorf("got\n%s\nwant\n%s", after, before)
	}
}
