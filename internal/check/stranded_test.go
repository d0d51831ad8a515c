package check_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// A consumer whose filter has changed has passed what is stored, as one has that NATS has confused.
func TestARequestThatNATSNeverDeliversIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provision()
	w.change("TASKS", func(cfg *jetstream.StreamConfig) { cfg.Subjects = append(cfg.Subjects, "tasks.other") })
	filter := func(subject string) jetstream.Consumer {
		t.Helper()
		consumer, err := w.js.Consumer(t.Context(), "TASKS", "worker")
		if err != nil {
			t.Fatal(err)
		}
		cfg := consumer.CachedInfo().Config
		cfg.FilterSubject = subject
		if consumer, err = w.js.UpdateConsumer(t.Context(), "TASKS", cfg); err != nil {
			t.Fatal(err)
		}
		return consumer
	}
	consumer := filter("tasks.other")
	for _, subject := range []string{"tasks.request", "tasks.other"} {
		if _, err := w.js.Publish(t.Context(), subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	msg, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	filter("tasks.request")
	const says = "warn stream TASKS: request 1 is stored, but consumer worker counts it as acknowledged"
	w.finds(w.check(), says)
	// What it advises is enough.
	if err := w.js.DeleteConsumer(t.Context(), "TASKS", "worker"); err != nil {
		t.Fatal(err)
	}
	w.provision()
	consumer, err = w.js.Consumer(t.Context(), "TASKS", "worker")
	if err != nil {
		t.Fatal(err)
	}
	if msg, err := consumer.Next(); err != nil || msg.Subject() != "tasks.request" {
		t.Errorf("got %v, %v, want the request", msg, err)
	}
	if got := w.check(); strings.Contains(got, "counts it as acknowledged") {
		t.Errorf("got\n%s\nwant no warning of a request that is in progress", got)
	}
}
