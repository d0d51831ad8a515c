package tracker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestDeliveriesAreCountedBesideTheRecords(t *testing.T) {
	t.Parallel()
	tr, _, _ := newTracker(t, cfg)
	d := task.Delivery{Stream: "TASKS", Seq: 7, Stored: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	none, err := tr.Deliveries(t.Context(), d)
	if err != nil || none.Count != 0 || !none.BelongsTo(d) || none.Stream != d.Stream {
		t.Errorf("got %+v, %v, want a count of 0 of the message", none, err)
	}
	want := none
	want.Count, want.TaskID = 4, "a"
	for range 2 { // over none, and over the first
		if err := tr.SaveDeliveries(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := tr.Deliveries(t.Context(), d); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	d.Stored = d.Stored.Add(time.Second) // a request of a recreated stream
	if got, err := tr.Deliveries(t.Context(), d); err != nil || got.Count != 0 || got.TaskID != "" {
		t.Errorf("got %+v, %v, want a count of 0", got, err)
	}
	if _, err := tr.Get(t.Context(), "a"); !errors.Is(err, task.ErrNoRecord) {
		t.Errorf("got %v, want ErrNoRecord", err)
	}
}

// A request that is gone needs no count, but nothing reports that it is gone.
func TestCountsOfDeliveriesExpire(t *testing.T) {
	t.Parallel()
	tr, _, js := newTracker(t, cfg)
	for count, want := range map[int]string{4: "168h0m0s", 0: "1m0s"} {
		if err := tr.SaveDeliveries(t.Context(), task.DeliveryCount{Stream: "TASKS", Seq: 7, Count: count}); err != nil {
			t.Fatal(err)
		}
		stream, err := js.Stream(t.Context(), cfg.Stream())
		if err != nil {
			t.Fatal(err)
		}
		msg, err := stream.GetLastMsgForSubject(t.Context(), cfg.Subject("deliveries/TASKS/7"))
		if err != nil {
			t.Fatal(err)
		}
		if got := msg.Header.Get(jetstream.MsgTTLHeader); got != want {
			t.Errorf("got a count of %d that expires after %q, want %q", count, got, want)
		}
	}
}
