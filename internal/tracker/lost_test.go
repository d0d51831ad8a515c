package tracker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
)

// What becomes of a record in the bucket, and what the next Save of its owner says.
func TestALostRecordIsToldFromATakenOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		happens func(t *testing.T, js jetstream.JetStream, rec task.Record)
		want    error
	}{
		"the bucket is recreated": {func(t *testing.T, js jetstream.JetStream, _ task.Record) {
			t.Helper()
			if err := js.DeleteStream(t.Context(), cfg.Stream()); err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(t.Context(), bucket()); err != nil {
				t.Fatal(err)
			}
		}, task.ErrRecordLost},
		"an operator deletes it": {func(t *testing.T, js jetstream.JetStream, rec task.Record) {
			t.Helper()
			kv, err := js.KeyValue(t.Context(), cfg.Bucket)
			if err != nil {
				t.Fatal(err)
			}
			if err := kv.Delete(t.Context(), rec.TaskID); err != nil {
				t.Fatal(err)
			}
		}, task.ErrRecordLost},
		"it goes back in time": {func(t *testing.T, js jetstream.JetStream, rec task.Record) {
			t.Helper()
			rec.State = task.Submitting
			put(t, js, rec)
		}, task.ErrRecordLost},
		"it goes back to an earlier owner": {func(t *testing.T, js jetstream.JetStream, rec task.Record) {
			t.Helper()
			rec.Owner, rec.Epoch = "w0", rec.Epoch-1
			put(t, js, rec)
		}, task.ErrRecordLost},
		"another worker takes it over": {func(t *testing.T, js jetstream.JetStream, rec task.Record) {
			t.Helper()
			rec.Owner, rec.Epoch = "w2", rec.Epoch+1
			put(t, js, rec)
		}, task.ErrNotOwner},
		"a copy of the request begins the task again": {func(t *testing.T, js jetstream.JetStream, rec task.Record) {
			t.Helper()
			rec.Owner, rec.Epoch, rec.RequestSeq = "w2", 1, rec.RequestSeq+1
			put(t, js, rec)
		}, task.ErrNotOwner},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, _, js := newTracker(t, cfg)
			rec := record("a", task.Running)
			rec.Epoch, rec.RequestSeq = 3, 7
			rec, err := tr.Create(t.Context(), rec)
			if err != nil {
				t.Fatal(err)
			}
			c.happens(t, js, rec)
			rec, err = tr.Save(t.Context(), rec)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if !errors.Is(c.want, task.ErrRecordLost) {
				return
			}
			if _, err := tr.Save(t.Context(), rec); err != nil {
				t.Errorf("write it again: %v", err)
			}
			if got, err := tr.Get(t.Context(), "a"); err != nil || got.State != task.Running || got.Epoch != 3 {
				t.Errorf("got %+v, %v, want the record as its owner wrote it", got, err)
			}
		})
	}
}

func put(t *testing.T, js jetstream.JetStream, rec task.Record) {
	t.Helper()
	if _, err := js.PublishMsg(t.Context(), &nats.Msg{Subject: cfg.Subject(rec.TaskID), Data: rec.JSON()}); err != nil {
		t.Fatal(err)
	}
}

func TestDeliveriesAreCountedBesideTheRecords(t *testing.T) {
	t.Parallel()
	tr, _, _ := newTracker(t, cfg)
	m := task.Delivery{Stream: "TASKS", Seq: 7, Stored: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	none, err := tr.Deliveries(t.Context(), m)
	if err != nil || none.Count != 0 || !none.BelongsTo(m) || none.Stream != m.Stream {
		t.Errorf("got %+v, %v, want a count of 0 of the message", none, err)
	}
	want := none
	want.Count, want.TaskID = 4, "a"
	for range 2 { // it is written over whatever stands
		if err := tr.SaveDeliveries(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := tr.Deliveries(t.Context(), m); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	m.Stored = m.Stored.Add(time.Second) // a request of a recreated stream
	if got, err := tr.Deliveries(t.Context(), m); err != nil || got.Count != 0 || got.TaskID != "" {
		t.Errorf("got %+v, %v, want a count of 0", got, err)
	}
	if _, err := tr.Get(t.Context(), "a"); !errors.Is(err, task.ErrNoRecord) {
		t.Errorf("got %v, want ErrNoRecord", err)
	}
}
