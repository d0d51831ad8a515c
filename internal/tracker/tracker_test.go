package tracker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/tracker"
)

var cfg = tracker.Config{Bucket: "task_tracker", TTL: time.Hour}

// bucket is the stream behind the bucket, as workers provision it.
func bucket() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: cfg.Stream(), Subjects: []string{cfg.Subject(">")}, MaxMsgsPerSubject: 1,
		Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true, AllowMsgTTL: true,
	}
}

func newTracker(t *testing.T, cfg tracker.Config) (*tracker.Tracker, *natstest.Server, jetstream.JetStream) {
	t.Helper()
	server := natstest.Start(t)
	nc, js := server.Connect()
	stream := natstest.Stream(t, js, bucket())
	return tracker.New(natstest.Batcher(t, nc), stream, cfg, prometheus.NewRegistry(), zerolog.Nop()), server, js
}

func record(id string, state task.State) task.Record {
	return task.Record{TaskID: id, State: state, Owner: "w1", Epoch: 1, WorkflowID: "wf"}
}

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
	if got != saved || got.State != task.Running || got.Revision == 0 {
		t.Errorf("got %+v, want %+v", got, saved)
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
		t.Errorf("create over the mark of a deletion: %v", err)
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

// A write that times out may have happened. Here the answers of the first are dropped: what the server
// stored must be told for our own.
func TestAWriteWhoseAnswerWasLostIsOurs(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc, js := server.Connect()
	stream := natstest.Stream(t, js, bucket())
	lossy := &losingAnswers{Batcher: natstest.Batcher(t, nc), lose: 1}
	tr := tracker.New(lossy, stream, cfg, prometheus.NewRegistry(), zerolog.Nop())

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
	if err != nil || got != rec {
		t.Errorf("got %+v, %v, want %+v", got, err, rec)
	}
}

// losingAnswers publishes, and then says that no answer came.
type losingAnswers struct {
	tracker.Batcher
	lose int
}

func (l *losingAnswers) Publish(ctx context.Context, m *nats.Msg) (jet.PubAck, error) {
	receipt, err := l.Batcher.Publish(ctx, m)
	l.lose--
	if l.lose >= 0 {
		return jet.PubAck{}, nats.ErrTimeout
	}
	return receipt, err
}

// A cluster refuses a write while another for the same key is under way, and that one may come to nothing: when
// the leader dies, for one.
func TestARefusalOverTheRevisionThatStandsIsTriedAgain(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc, js := server.Connect()
	stream := natstest.Stream(t, js, bucket())
	busy := &refusing{Batcher: natstest.Batcher(t, nc)}
	tr := tracker.New(busy, stream, cfg, prometheus.NewRegistry(), zerolog.Nop())
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
	if got, err := tr.Get(t.Context(), "a"); err != nil || got != rec {
		t.Errorf("got %+v, %v, want %+v", got, err, rec)
	}
}

// refusing refuses that many writes before it stores one.
type refusing struct {
	tracker.Batcher
	times int
}

func (r *refusing) Publish(ctx context.Context, m *nats.Msg) (jet.PubAck, error) {
	if r.times == 0 {
		return r.Batcher.Publish(ctx, m)
	}
	r.times--
	return jet.PubAck{}, &jetstream.APIError{Code: 400, ErrorCode: jetstream.JSErrCodeStreamWrongLastSequenceConstant}
}

func TestAWriteWaitsOutAnOutage(t *testing.T) {
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
		t.Fatalf("saved while NATS was away: %v", err)
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
	tr := tracker.New(natstest.Batcher(t, nc), stream, cfg, prometheus.NewRegistry(), zerolog.Nop())
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

func TestAnEndedRecordExpiresWithoutAMarkAndARunningOneStays(t *testing.T) {
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

// A bucket that was made with LimitMarkerTTL leaves marks where records expired.
func TestAnExpiredRecordsMarkIsNoRecord(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	nc, js := server.Connect()
	withMarks := bucket()
	withMarks.SubjectDeleteMarkerTTL = time.Minute
	stream := natstest.Stream(t, js, withMarks)
	brief := cfg
	brief.TTL = time.Second
	tr := tracker.New(natstest.Batcher(t, nc), stream, brief, prometheus.NewRegistry(), zerolog.Nop())
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
		t.Errorf("create over the mark: %v", err)
	}
}
