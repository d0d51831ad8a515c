package publisher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

var (
	results = publisher.ResultConfig{Stream: "TASK_RESULTS", Subject: "tasks.result", Bucket: "task_results"}
	dead    = publisher.DeadConfig{Stream: "TASK_DEAD", Subject: "tasks.dead"}
	stored  = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
)

type harness struct {
	t *testing.T
	*publisher.Publisher
	parts   publisher.Parts
	server  *natstest.Server
	nc      *nats.Conn
	batcher publisher.Batcher
	lossy   *losingAnswers
	js      jetstream.JetStream
	results jetstream.Stream
	dead    jetstream.Stream
	large   jetstream.ObjectStore
}

func newHarness(t *testing.T, server natsserver.Config) *harness {
	t.Helper()
	h := &harness{t: t, server: natstest.StartWith(t, server)}
	h.nc, h.js = h.server.Connect()
	h.results = natstest.Stream(t, h.js, jetstream.StreamConfig{
		Name: results.Stream, Subjects: []string{results.Subject}, Duplicates: time.Hour,
	})
	h.dead = natstest.Stream(t, h.js, jetstream.StreamConfig{Name: dead.Stream, Subjects: []string{dead.Subject}})
	var err error
	if h.large, err = h.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: results.Bucket}); err != nil {
		t.Fatal(err)
	}
	h.batcher = natstest.Batcher(t, h.nc)
	h.parts = publisher.Parts{
		Conn: h.nc, JetStream: h.js, Batcher: h.batcher, Results: h.results, Large: h.large, Index: memory.NewBudget(1 << 20),
	}
	h.Publisher = newPublisher(h.parts)
	return h
}

func newPublisher(parts publisher.Parts) *publisher.Publisher {
	return publisher.New(parts, results, dead, prometheus.NewRegistry(), zerolog.Nop())
}

// withoutSearches returns a publisher whose stream has one event at most, and refuses every search: all its consumers are
// in use.
func (h *harness) withoutSearches() *publisher.Publisher {
	h.t.Helper()
	cfg := h.results.CachedInfo().Config
	cfg.MaxConsumers, cfg.MaxMsgs, cfg.Discard = 1, 1, jetstream.DiscardNew
	if err := h.js.DeleteStream(h.t.Context(), cfg.Name); err != nil {
		h.t.Fatal(err)
	}
	h.results = natstest.Stream(h.t, h.js, cfg)
	if _, err := h.results.CreateConsumer(h.t.Context(), jetstream.ConsumerConfig{Durable: "subscriber"}); err != nil {
		h.t.Fatal(err)
	}
	h.parts.Results = h.results
	return newPublisher(h.parts)
}

func delivery(seq uint64) task.Delivery {
	return task.Delivery{Stream: "TASKS", Seq: seq, Stored: stored, Header: map[string][]string{}}
}

// perRequest returns the message id of an event that answers the request with this sequence and is not the task's own.
func perRequest(id string, seq uint64) string {
	return fmt.Sprintf("%s/%d/%d", id, seq, stored.UnixMilli())
}

func event(id string) task.Event {
	return task.Event{
		TaskID: id, Status: task.Succeeded, Result: json.RawMessage(`{"heading":"Hello"}`),
		RequestedAt: stored, FinishedAt: stored.Add(time.Minute), Worker: "w1",
	}
}

// messages returns all messages of a stream.
func messages(t *testing.T, s jetstream.Stream) []*jetstream.RawStreamMsg {
	t.Helper()
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []*jetstream.RawStreamMsg
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && seq > 0; seq++ {
		msg, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, msg)
	}
	return all
}

func (h *harness) get(seq uint64) *jetstream.RawStreamMsg {
	h.t.Helper()
	msg, err := h.results.GetMsg(h.t.Context(), seq)
	if err != nil {
		h.t.Fatal(err)
	}
	return msg
}

// limit bounds the number of messages of the results stream, which refuses more.
func (h *harness) limit(n int64) {
	h.t.Helper()
	cfg := h.results.CachedInfo().Config
	cfg.MaxMsgs, cfg.Discard = n, jetstream.DiscardNew
	if _, err := h.js.UpdateStream(h.t.Context(), cfg); err != nil {
		h.t.Fatal(err)
	}
}

// window sets the stream's duplicate window, and replaces the publisher by one that knows it.
func (h *harness) window(d time.Duration) {
	h.t.Helper()
	cfg := h.results.CachedInfo().Config
	cfg.Duplicates = d
	var err error
	if h.results, err = h.js.UpdateStream(h.t.Context(), cfg); err != nil {
		h.t.Fatal(err)
	}
	h.lossy = &losingAnswers{Batcher: h.batcher, window: d}
	h.parts.Results, h.parts.Batcher = h.results, h.lossy
	h.Publisher = newPublisher(h.parts)
}

// losingAnswers publishes, waits until the stream has forgotten the message id, and returns a time-out.
type losingAnswers struct {
	publisher.Batcher
	window time.Duration
	left   atomic.Int32
}

func (l *losingAnswers) lose(n int32) { l.left.Store(n) }

func (l *losingAnswers) Publish(ctx context.Context, m *nats.Msg) (jet.PubAck, error) {
	ack, err := l.Batcher.Publish(ctx, m)
	if l.left.Add(-1) >= 0 {
		forget := time.NewTimer(2 * l.window)
		<-forget.C
		return jet.PubAck{}, nats.ErrTimeout
	}
	return ack, err
}

// messageIDs returns the message ids of the stored events.
func (h *harness) messageIDs() []string {
	h.t.Helper()
	var ids []string
	for _, msg := range messages(h.t, h.results) {
		ids = append(ids, msg.Header.Get("Nats-Msg-Id"))
	}
	return ids
}

// lastSeq returns how many messages the results stream has stored in all.
func (h *harness) lastSeq() uint64 {
	h.t.Helper()
	info, err := h.results.Info(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return info.State.LastSeq
}
