package publisher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/outbox"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/retry"
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
	server  *natstest.Server
	nc      *nats.Conn
	outbox  publisher.Outbox
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
	h.outbox = natstest.Outbox(t, h.nc)
	h.Publisher = publisher.New(h.nc, h.js, h.outbox, h.results, h.large, results, dead, prometheus.NewRegistry(), zerolog.Nop())
	return h
}

func message(seq uint64) task.Message {
	return task.Message{Stream: "TASKS", Seq: seq, Stored: stored, Header: map[string][]string{}}
}

func event(id string) task.Event {
	return task.Event{
		TaskID: id, Status: task.Succeeded, Result: json.RawMessage(`{"heading":"Hello"}`),
		RequestedAt: stored, FinishedAt: stored.Add(time.Minute), Worker: "w1",
	}
}

// messages returns what a stream holds.
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

func TestAnEventCarriesItsHeaders(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	m := message(7)
	m.Header = map[string][]string{"Traceparent": {"00-ab-cd-01"}, "tracestate": {"x=y"}, "other": {"z"}}
	if _, _, err := h.Publish(t.Context(), m, event("ord-1"), false); err != nil {
		t.Fatal(err)
	}
	got := messages(t, h.results)[0].Header
	for name, want := range map[string]string{
		"Nats-Msg-Id": "ord-1", "content-type": "application/json", "ce-specversion": "1.0", "ce-id": "ord-1",
		"ce-source": "/capstan/TASKS", "ce-type": "dev.capstan.task.succeeded", "ce-time": "2026-03-01T12:01:00.123456789Z",
		"ce-subject": "ord-1", "traceparent": "00-ab-cd-01", "tracestate": "x=y", "other": "",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, got.Get(name), want)
		}
	}
}

func TestAnEventIsStoredOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, first, err := h.Publish(t.Context(), message(7), event("ord-1"), false)
	if err != nil {
		t.Fatal(err)
	}
	again := event("ord-1")
	again.Worker, again.FinishedAt = "w2", stored.Add(time.Hour)
	kept, second, err := h.Publish(t.Context(), message(7), again, false)
	if err != nil {
		t.Fatal(err)
	}
	if kept.Worker != "w1" {
		t.Errorf("got the event of %s for the stored one, want that of w1", kept.Worker)
	}
	if n := len(messages(t, h.results)); first != second || n != 1 {
		t.Errorf("got sequences %d and %d and %d events, want one", first, second, n)
	}
}

// A broken request is answered under its task id; mended and sent again it has the same one. The stream
// takes the second event for a duplicate of the first, and it is not.
func TestAnEventForAnotherRequestIsNoDuplicate(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	if _, _, err := h.Publish(t.Context(), message(7), event("ord-1"), false); err != nil {
		t.Fatal(err)
	}
	mended := event("ord-1")
	mended.RequestedAt = stored.Add(time.Second)
	_, seq, err := h.Publish(t.Context(), message(8), mended, false)
	if err != nil {
		t.Fatal(err)
	}
	all := messages(t, h.results)
	if len(all) != 2 || seq != 2 || all[1].Header.Get("Nats-Msg-Id") != "ord-1.8" {
		t.Errorf("got %d events, sequence %d, want two", len(all), seq)
	}
}

func TestAResultThatDoesNotFitGoesToTheObjectStore(t *testing.T) {
	t.Parallel()
	large := json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)
	for name, ev := range map[string]task.Event{
		"of a task that succeeded": {TaskID: "a", Status: task.Succeeded, Result: large, RawResult: large},
		"of a task that failed":    {TaskID: "a", Status: task.Failed, RawResult: large, Error: task.NewError(task.InvalidResult, "no")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, natsserver.Config{MaxPayload: 4096})
			if _, _, err := h.Publish(t.Context(), message(7), ev, false); err != nil {
				t.Fatal(err)
			}
			var got task.Event
			if err := json.Unmarshal(messages(t, h.results)[0].Data, &got); err != nil {
				t.Fatal(err)
			}
			if got.Result != nil || got.RawResult != nil || got.ResultRef == nil {
				t.Fatalf("got %+v, want a result_ref in place of results", got)
			}
			data, err := h.large.GetBytes(t.Context(), got.ResultRef.Name)
			if err != nil {
				t.Fatal(err)
			}
			if string(data) != string(large) || got.ResultRef.Size != uint64(len(large)) || got.ResultRef.Bucket != results.Bucket {
				t.Errorf("got %d bytes, %+v, want the result", len(data), got.ResultRef)
			}
		})
	}
}

func TestAStreamsOwnBoundSendsAResultToTheObjectStore(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	cfg := h.results.CachedInfo().Config
	cfg.MaxMsgSize = 2048
	if _, err := h.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	ev := event("a")
	ev.Result = json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)
	if _, _, err := h.Publish(t.Context(), message(7), ev, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(messages(t, h.results)[0].Data), `"result_ref"`) {
		t.Error("got no result_ref")
	}
}

func TestAReplayIsTheStoredEventUnderAnIDOfItsOwn(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, seq, err := h.Publish(t.Context(), message(7), event("ord-1"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Replay(t.Context(), message(9), "ord-1", seq); err != nil {
		t.Fatal(err)
	}
	all := messages(t, h.results)
	if len(all) != 2 {
		t.Fatalf("got %d events, want 2", len(all))
	}
	if got := all[1].Header; got.Get("Nats-Msg-Id") != "ord-1.9" || got.Get("ce-id") != "ord-1.9" || got.Get("Capstan-Replay") != "true" {
		t.Errorf("got headers %v", got)
	}
	if !bytes.Equal(all[0].Data, all[1].Data) {
		t.Errorf("got %s, want %s", all[1].Data, all[0].Data)
	}
}

func TestAReplayOfWhatIsGoneOrAnothersSaysSo(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, seq, err := h.Publish(t.Context(), message(7), event("ord-1"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Replay(t.Context(), message(9), "ord-1", seq+10); !errors.Is(err, task.ErrNoEvent) {
		t.Errorf("gone: got %v, want ErrNoEvent", err)
	}
	if err := h.Replay(t.Context(), message(9), "ord-2", seq); !errors.Is(err, task.ErrNoEvent) {
		t.Errorf("another's: got %v, want ErrNoEvent", err)
	}
}

func TestADeadLetterKeepsBytesAndHeadersAndCannotBeSteered(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	m := message(7)
	m.Header = map[string][]string{
		"Nats-Msg-Id": {"mine"}, "Nats-Expected-Last-Sequence": {"99"}, "Nats-TTL": {"1s"}, "tenant": {"acme"},
	}
	if err := h.Bury(t.Context(), m, []byte("{broken"), "not JSON:\nline two"); err != nil {
		t.Fatal(err)
	}
	got := messages(t, h.dead)[0]
	for name, want := range map[string]string{
		"Nats-Msg-Id": "TASKS-7", "Capstan-Original-Nats-Msg-Id": "mine", "Capstan-Original-Nats-TTL": "1s",
		"Nats-Expected-Last-Sequence": "", "tenant": "acme", "Capstan-Reason": "not JSON: line two",
		"Capstan-Stream": "TASKS", "Capstan-Sequence": "7",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if string(got.Data) != "{broken" {
		t.Errorf("got %q", got.Data)
	}
}

func TestADeadLetterAsLargeAsAMessageStillFits(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	if err := h.Bury(t.Context(), message(7), []byte(strings.Repeat("x", 4096)), strings.Repeat("y", 100)); err != nil {
		t.Fatal(err)
	}
	bucket, object, _ := strings.Cut(messages(t, h.dead)[0].Header.Get("Capstan-Object"), "/")
	data, err := h.large.GetBytes(t.Context(), object)
	if err != nil || bucket != results.Bucket || len(data) != 4096 {
		t.Errorf("got %d bytes in %q, %v, want all of them in the object store", len(data), bucket, err)
	}
}

// An outage and a full stream have one cure: to wait. What is published meanwhile is stored after.
func TestAnEventWaitsUntilItCanBeStored(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]struct{ begin, end func(*harness) }{
		"NATS away": {
			begin: func(h *harness) { h.server.Stop() },
			end:   func(h *harness) { h.server.Restart() },
		},
		"stream full": {
			begin: func(h *harness) { h.limit(1) },
			end:   func(h *harness) { h.limit(-1) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, natsserver.Config{})
			if _, _, err := h.Publish(t.Context(), message(1), event("first"), false); err != nil {
				t.Fatal(err)
			}
			trouble.begin(h)
			stored := make(chan error, 1)
			go func() {
				_, _, err := h.Publish(context.WithoutCancel(t.Context()), message(7), event("second"), false)
				stored <- err
			}()
			select {
			case err := <-stored:
				t.Fatalf("stored in spite of the trouble: %v", err)
			case <-time.After(200 * time.Millisecond):
			}
			trouble.end(h)
			if err := <-stored; err != nil {
				t.Fatal(err)
			}
			if n := len(messages(t, h.results)); n != 2 {
				t.Errorf("got %d events, want 2", n)
			}
		})
	}
}

// limit bounds the results stream to a number of messages, beyond which it refuses more.
func (h *harness) limit(n int64) {
	h.t.Helper()
	cfg := h.results.CachedInfo().Config
	cfg.MaxMsgs, cfg.Discard = n, jetstream.DiscardNew
	if _, err := h.js.UpdateStream(h.t.Context(), cfg); err != nil {
		h.t.Fatal(err)
	}
}

// The stream remembers message ids for a while, and an outage may last longer.
func TestAnEventIsStoredOnceAlsoAfterItsIDIsForgotten(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	h.window(200 * time.Millisecond)
	requested := time.Now().Add(-time.Hour)
	for i := range uint64(3) {
		ev := event(fmt.Sprint("t", i))
		ev.RequestedAt = requested
		for delivery := range 3 {
			_, seq, err := h.Publish(t.Context(), message(i+1), ev, delivery > 0)
			if err != nil {
				t.Fatal(err)
			}
			if seq != i+1 {
				t.Errorf("task %d, delivery %d: got sequence %d, want %d", i, delivery, seq, i+1)
			}
			forget := time.NewTimer(400 * time.Millisecond)
			<-forget.C
		}
	}
	other := event("t0")
	other.RequestedAt = requested.Add(time.Minute)
	if _, seq, err := h.Publish(t.Context(), message(9), other, true); err != nil || seq != 4 {
		t.Errorf("another request's event: got sequence %d, %v, want it stored", seq, err)
	}
}

// The event was stored, the answer was lost, and NATS was away until the stream had forgotten it.
func TestAnEventWhoseAnswerWasLostLongAgoIsStoredOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	h.window(200 * time.Millisecond)
	h.lossy.lose(3) // tries, with waits that grow between them
	_, seq, err := h.Publish(t.Context(), message(7), event("a"), false)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(messages(t, h.results)); n != 1 || seq != 1 {
		t.Errorf("got %d events, sequence %d, want one", n, seq)
	}
}

// window sets the stream's duplicate window, for a publisher made after.
func (h *harness) window(d time.Duration) {
	h.t.Helper()
	cfg := h.results.CachedInfo().Config
	cfg.Duplicates = d
	var err error
	if h.results, err = h.js.UpdateStream(h.t.Context(), cfg); err != nil {
		h.t.Fatal(err)
	}
	h.lossy = &losingAnswers{Outbox: h.outbox, window: d}
	h.Publisher = publisher.New(h.nc, h.js, h.lossy, h.results, h.large, results, dead, prometheus.NewRegistry(), zerolog.Nop())
}

// losingAnswers publishes, waits until the stream has forgotten that, and says that no answer came.
type losingAnswers struct {
	publisher.Outbox
	window time.Duration
	left   atomic.Int32
}

func (l *losingAnswers) lose(n int32) { l.left.Store(n) }

func (l *losingAnswers) Store(ctx context.Context, m *nats.Msg) (outbox.Receipt, error) {
	receipt, err := l.Outbox.Store(ctx, m)
	if l.left.Add(-1) >= 0 {
		forget := time.NewTimer(2 * l.window)
		<-forget.C
		return outbox.Receipt{}, nats.ErrTimeout
	}
	return receipt, err
}

func TestADeadLetterWithLargeHeadersIsStored(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	m := message(7)
	m.Header = map[string][]string{"tenant": {strings.Repeat("t", 4000)}}
	if err := h.Bury(t.Context(), m, []byte("{"), "not JSON"); err != nil {
		t.Fatal(err)
	}
	header := messages(t, h.dead)[0].Header
	_, object, _ := strings.Cut(header.Get("Capstan-Headers"), "/")
	headers, err := h.large.GetBytes(t.Context(), object)
	if err != nil || !strings.Contains(string(headers), "tttt") || header.Get("Capstan-Reason") != "not JSON" {
		t.Errorf("got %d bytes of headers, %v, and %v", len(headers), err, header)
	}
}

func TestAReplayThatDoesNotFitIsPublishedWithAReference(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	var last uint64 // the sequence of the largest that fits
	for size := 3500; ; size++ {
		ev := event(fmt.Sprint("a", size))
		ev.Result = json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
		_, seq, err := h.Publish(t.Context(), message(uint64(size)), ev, false)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(h.get(seq).Data), "result_ref") {
			break
		}
		last = seq
	}
	if err := h.Replay(t.Context(), message(99999), h.get(last).Header.Get("ce-subject"), last); err != nil {
		t.Fatal(err)
	}
	if got := h.get(last + 2); got.Header.Get("Capstan-Replay") != "true" || !strings.Contains(string(got.Data), "result_ref") {
		t.Errorf("got %s, %v, want a replay with a reference", got.Data, got.Header)
	}
}

func (h *harness) get(seq uint64) *jetstream.RawStreamMsg {
	h.t.Helper()
	msg, err := h.results.GetMsg(h.t.Context(), seq)
	if err != nil {
		h.t.Fatal(err)
	}
	return msg
}

// A worker that takes over thousands of tasks looks for their events without a consumer for each.
func TestLooksLeaveNoConsumersBehind(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if _, _, err := h.Publish(t.Context(), message(uint64(i+1)), event(fmt.Sprint("t", i)), true); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	info, err := h.results.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.State.Consumers > 0 || info.State.Msgs != 200 {
		t.Errorf("got %d consumers and %d events, want none and 200", info.State.Consumers, info.State.Msgs)
	}
}

// The look is one for all tasks that were taken over: an answer that was lost on the way must not keep all
// of them waiting for long.
func TestALookWithoutAnAnswerIsTakenAgainSoon(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	silent := &silent{JetStream: h.js, left: 2}
	p := publisher.New(h.nc, silent, h.outbox, h.results, h.large, results, dead, prometheus.NewRegistry(), zerolog.Nop())
	if _, _, err := p.Publish(t.Context(), message(1), event("a"), true); err != nil {
		t.Fatal(err)
	}
	if silent.left >= 0 {
		t.Error("all calls were answered: this test tries nothing")
	}
	if silent.longest > 5*time.Second {
		t.Errorf("a call may take %v, want a few seconds", silent.longest)
	}
}

// silent is a server whose first answers are lost.
type silent struct {
	jetstream.JetStream
	left    int
	longest time.Duration
}

// lost reports whether an answer is lost, and notes how long it is waited for.
func (s *silent) lost(ctx context.Context) bool {
	s.left--
	if s.left < 0 {
		return false
	}
	deadline, bounded := ctx.Deadline()
	s.longest = max(s.longest, time.Until(deadline))
	if !bounded {
		s.longest = time.Hour
	}
	return true
}

func (s *silent) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	if s.lost(ctx) {
		return nil, context.DeadlineExceeded
	}
	return s.JetStream.CreateConsumer(ctx, stream, cfg)
}

func (s *silent) DeleteConsumer(ctx context.Context, stream, consumer string) error {
	if s.lost(ctx) {
		return context.DeadlineExceeded
	}
	return s.JetStream.DeleteConsumer(ctx, stream, consumer)
}

// A look waits for what is there, and not for what may come.
func TestALookEndsWithTheLastEvent(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	for _, id := range []string{"a", "b", "c"} {
		if _, _, err := h.Publish(t.Context(), message(1), event(id), false); err != nil {
			t.Fatal(err)
		}
	}
	again := event("c")
	again.RequestedAt = time.Now().Add(-time.Hour)
	began := time.Now()
	if _, _, err := h.Publish(t.Context(), message(2), again, true); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took >= retry.Quick {
		t.Errorf("a look at 3 events took %v, want less than the time of an answer that is lost", took)
	}
}
