package tracker_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/tracker"
)

func TestCreateThenSaveThenGetGivesTheLastWrite(t *testing.T) {
	t.Parallel()
	tr, _, _ := newTracker(t, cfg)
	rec, err := tr.Create(t.Context(), record("a", task.Submitting))
	if err != nil {
		t.Fatal(err)
	}
	rec.State = task.Running
	saved, err := tr.Save(t.Context(), rec)
	if err != nil {
		t.Fatal(err)
	}
	got, err := tr.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, saved) || got.State != task.Running || got.Revision == 0 {
		t.Errorf("got %+v, want %+v", got, saved)
	}
}

// The clocks of two machines may differ by hours.
func TestARecordSaysWhenItWasWrittenByTheServersClock(t *testing.T) {
	nc, js := natstest.Start(t).Connect()
	var clock servertime.Clock
	now := time.Now()
	clock.Observe(now.Add(2*time.Hour), now, now)
	tr := tracker.New(natstest.Batcher(t, nc), natstest.Stream(t, js, bucket()), "", cfg, &clock, prometheus.NewRegistry(), zerolog.Nop())
	rec, err := tr.Create(t.Context(), record("a", task.Running))
	if got := rec.UpdatedAt.Sub(now); err != nil || got < 2*time.Hour || got > 3*time.Hour {
		t.Errorf("got %v after this machine's time, %v, want 2 hours", got, err)
	}
}

func TestCreateOverARecordIsRefused(t *testing.T) {
	t.Parallel()
	tr, _, _ := newTracker(t, cfg)
	if _, err := tr.Create(t.Context(), record("a", task.Submitting)); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Create(t.Context(), record("a", task.Submitting)); !errors.Is(err, task.ErrRecordExists) {
		t.Errorf("got %v, want ErrRecordExists", err)
	}
}

func TestTheLoserOfACompareAndSetIsNotTheOwner(t *testing.T) {
	t.Parallel()
	tr, _, _ := newTracker(t, cfg)
	mine, err := tr.Create(t.Context(), record("a", task.Submitting))
	if err != nil {
		t.Fatal(err)
	}
	theirs := mine
	theirs.Owner, theirs.Epoch = "w2", 2
	if _, err := tr.Save(t.Context(), theirs); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Save(t.Context(), mine); !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
}

func TestARecordOfNoTaskIsNotFound(t *testing.T) {
	t.Parallel()
	tr, _, _ := newTracker(t, cfg)
	if _, err := tr.Get(t.Context(), "none"); !errors.Is(err, task.ErrNoRecord) {
		t.Errorf("got %v, want ErrNoRecord", err)
	}
}

func TestADeletedRecordIsNoneAndCanBeCreatedAgain(t *testing.T) {
	t.Parallel()
	tr, _, js := newTracker(t, cfg)
	if _, err := tr.Create(t.Context(), record("a", task.Submitting)); err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), cfg.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Get(t.Context(), "a"); !errors.Is(err, task.ErrNoRecord) {
		t.Errorf("got %v, want ErrNoRecord", err)
	}
	if _, err := tr.Create(t.Context(), record("a", task.Submitting)); err != nil {
		t.Errorf("create over the delete marker: %v", err)
	}
}

func TestARecordThatNoWorkerCanHaveWrittenIsAnError(t *testing.T) {
	t.Parallel()
	tr, _, js := newTracker(t, cfg)
	if _, err := js.Publish(t.Context(), cfg.Subject("a"), []byte(`{"task_id":"a","state":"sleeping"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Get(t.Context(), "a"); err == nil || errors.Is(err, task.ErrNoRecord) {
		t.Errorf("got %v, want an error of its own", err)
	}
}

// A write that times out may have happened. Here the answer to the first is dropped: the tracker must recognize the stored
// record as its own.
func TestAWriteWhoseAnswerWasLostIsOurs(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc, js := server.Connect()
	stream := natstest.Stream(t, js, bucket())
	lossy := &losingAnswers{Batcher: natstest.Batcher(t, nc), lose: 1}
	tr := tracker.New(lossy, stream, "", cfg, nil, prometheus.NewRegistry(), zerolog.Nop())

	rec, err := tr.Create(t.Context(), record("a", task.Submitting))
	if err != nil {
		t.Fatal(err)
	}
	lossy.lose = 2
	rec.State = task.Running
	if rec, err = tr.Save(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	got, err := tr.Get(t.Context(), "a")
	if err != nil || !reflect.DeepEqual(got, rec) {
		t.Errorf("got %+v, %v, want %+v", got, err, rec)
	}
}

// If the bucket was deleted, another stream may listen on its subjects.
func TestAnotherStreamStoresNoRecord(t *testing.T) {
	t.Parallel()
	tr, _, js := newTracker(t, cfg)
	if err := js.DeleteStream(t.Context(), cfg.Stream()); err != nil {
		t.Fatal(err)
	}
	other := natstest.Stream(t, js, jetstream.StreamConfig{Name: "OTHER", Subjects: []string{cfg.Subject(">")}, AllowMsgTTL: true})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := tr.Create(ctx, record("a", task.Submitting)); err == nil {
		t.Error("got no error of the record, want it refused")
	}
	if err := tr.SaveDeliveries(ctx, task.DeliveryCount{Stream: "TASKS", Seq: 7, Count: 1}); err == nil {
		t.Error("got no error of the count, want it refused")
	}
	info, err := other.Info(t.Context())
	if err != nil || info.State.Msgs != 0 {
		t.Errorf("got %+v, %v, want no message in the other stream", info, err)
	}
}

// A cluster refuses a write while another for the same key is under way, and that one may fail: if the leader dies, for
// example.
func TestAConflictWithTheExpectedRevisionIsRetried(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc, js := server.Connect()
	stream := natstest.Stream(t, js, bucket())
	busy := &refusing{Batcher: natstest.Batcher(t, nc)}
	tr := tracker.New(busy, stream, "", cfg, nil, prometheus.NewRegistry(), zerolog.Nop())
	busy.times = 1
	rec, err := tr.Create(t.Context(), record("a", task.Submitting))
	if err != nil {
		t.Fatal(err)
	}
	busy.times = 2
	rec.State = task.Waiting
	if rec, err = tr.Save(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if got, err := tr.Get(t.Context(), "a"); err != nil || !reflect.DeepEqual(got, rec) {
		t.Errorf("got %+v, %v, want %+v", got, err, rec)
	}
}

func TestAWriteIsRetriedThroughAnOutage(t *testing.T) {
	t.Parallel()
	tr, server, _ := newTracker(t, cfg)
	rec, err := tr.Create(t.Context(), record("a", task.Submitting))
	if err != nil {
		t.Fatal(err)
	}
	server.Stop()
	saved := make(chan error, 1)
	go func() {
		rec.State = task.Running
		_, err := tr.Save(t.Context(), rec)
		saved <- err
	}()
	select {
	case err := <-saved:
		t.Fatalf("saved while NATS was down: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	server.Restart()
	if err := <-saved; err != nil {
		t.Errorf("got %v, want the record saved", err)
	}
}

func TestAWriteEndsWhenTheConnectionIsClosed(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc, js := server.Connect()
	stream := natstest.Stream(t, js, bucket())
	tr := tracker.New(natstest.Batcher(t, nc), stream, "", cfg, nil, prometheus.NewRegistry(), zerolog.Nop())
	server.Stop()
	saved := make(chan error, 1)
	go func() {
		_, err := tr.Create(context.WithoutCancel(t.Context()), record("a", task.Submitting))
		saved <- err
	}()
	nc.Close()
	if err := <-saved; !errors.Is(err, nats.ErrConnectionClosed) {
		t.Errorf("got %v, want %v", err, nats.ErrConnectionClosed)
	}
}

func TestAnEndedRecordExpiresWithoutAMarkerAndARunningOneStays(t *testing.T) {
	t.Parallel()
	brief := cfg
	brief.TTL = time.Second
	tr, _, js := newTracker(t, brief)
	if _, err := tr.Create(t.Context(), record("runs", task.Running)); err != nil {
		t.Fatal(err)
	}
	rec, err := tr.Create(t.Context(), record("ended", task.Running))
	if err != nil {
		t.Fatal(err)
	}
	rec.State = task.Succeeded
	if _, err := tr.Save(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, func() error {
		_, err := tr.Get(t.Context(), "ended")
		if errors.Is(err, task.ErrNoRecord) {
			return nil
		}
		return errors.New("the ended record is still there")
	})
	if _, err := tr.Get(t.Context(), "runs"); err != nil {
		t.Errorf("the running record: %v", err)
	}
	stream, err := js.Stream(t.Context(), cfg.Stream())
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.Msgs; got != 1 {
		t.Errorf("got %d messages in the bucket, want 1", got)
	}
}

// A bucket with LimitMarkerTTL leaves markers in place of expired records.
func TestAnExpiredRecordsMarkerIsNoRecord(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc, js := server.Connect()
	withMarkers := bucket()
	withMarkers.SubjectDeleteMarkerTTL = time.Minute
	stream := natstest.Stream(t, js, withMarkers)
	brief := cfg
	brief.TTL = time.Second
	tr := tracker.New(natstest.Batcher(t, nc), stream, "", brief, nil, prometheus.NewRegistry(), zerolog.Nop())
	if _, err := tr.Create(t.Context(), record("a", task.Failed)); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, func() error {
		_, err := tr.Get(t.Context(), "a")
		if errors.Is(err, task.ErrNoRecord) {
			return nil
		}
		return fmt.Errorf("got %w, want no record", err)
	})
	if _, err := tr.Create(t.Context(), record("a", task.Submitting)); err != nil {
		t.Errorf("create over the marker: %v", err)
	}
}
