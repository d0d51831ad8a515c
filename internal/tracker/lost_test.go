package tracker_test

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
)

// What happens to a record in the bucket, and what the next Save of its owner returns.
func TestALostRecordIsDistinguishedFromATakenOne(t *testing.T) {
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
