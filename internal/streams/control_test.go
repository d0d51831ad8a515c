package streams_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/streams"
)

// Workers share what they learn in a bucket of its own, and can do without it.
func TestAWorkerIsReadyWithoutTheControlBucket(t *testing.T) {
	t.Parallel()
	without := defaults()
	without.NATS.Provision = false
	for name, c := range map[string]struct {
		cfg   streams.Config
		spoil func(w *world)
		says  string
	}{
		"missing, and not to be created": {without, deleteControl, "bucket task_control: missing"},
		"of another application": {defaults(), func(w *world) {
			deleteControl(w)
			if _, err := w.js.CreateKeyValue(w.t.Context(), jetstream.KeyValueConfig{Bucket: "task_control"}); err != nil {
				w.t.Fatal(err)
			}
		}, "bucket task_control: belongs to another application"},
		"a stream of another kind": {defaults(), func(w *world) {
			deleteControl(w)
			w.create(jetstream.StreamConfig{Name: "KV_task_control", Subjects: []string{"theirs"}, Retention: jetstream.WorkQueuePolicy})
		}, "bucket task_control: belongs to another application"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := w.provision(defaults())
			if !b.ControlUsable() {
				t.Error("got a bucket that cannot be used, want one that was created")
			}
			c.spoil(w)
			before := w.names()
			w.accepts(c.cfg, c.says, "Workers go on without it")
			b = w.worker(c.cfg)
			if err := b.Check(t.Context()); err != nil || b.ControlUsable() {
				t.Errorf("got %v, usable: %v, want a worker that does without", err, b.ControlUsable())
			}
			if after := w.names(); len(after) != len(before) {
				t.Errorf("got streams %v, want %v", after, before)
			}
		})
	}
}

func deleteControl(w *world) {
	w.t.Helper()
	if err := w.js.DeleteStream(w.t.Context(), "KV_task_control"); err != nil {
		w.t.Fatal(err)
	}
}
