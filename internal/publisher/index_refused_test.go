package publisher_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/publisher"
)

// limitConsumers creates the results stream again, with one consumer and space for no other.
func (h *harness) limitConsumers() {
	h.t.Helper()
	cfg := h.results.CachedInfo().Config
	cfg.MaxConsumers = 1
	if err := h.js.DeleteStream(h.t.Context(), cfg.Name); err != nil {
		h.t.Fatal(err)
	}
	var err error
	if h.results, err = h.js.CreateStream(h.t.Context(), cfg); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.results.CreateConsumer(h.t.Context(), jetstream.ConsumerConfig{Durable: "subscriber"}); err != nil {
		h.t.Fatal(err)
	}
	h.parts.Results = h.results
}

// The callers of a search that NATS refuses all wait and try again. NATS must not be asked by each of them.
func TestARefusalIsTheAnswerToAllWhoWait(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	h.limitConsumers()
	p, searches := h.counting(1 << 20)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 500 {
		all.Go(func() { _, _, _ = p.Publish(ctx, delivery(uint64(i+1)), event(fmt.Sprint("t", i)), true) })
	}
	natstest.Eventually(t, func() error {
		if searches.created.Load() == 0 {
			return fmt.Errorf("no search yet")
		}
		return nil
	})
	<-time.After(3 * time.Second)
	if n := searches.created.Load(); n > 8 {
		t.Errorf("got %d attempts to create a consumer in 3 s, want about one a second", n)
	}
	cancel()
	all.Wait()
}

// A cluster that elects its leader refuses consumers for a moment. The event may be stored, although its answer was lost,
// and a subscriber without a consumer must not get it a second time.
func TestAnEventIsNotSentAgainWhileASearchIsRefusedForAMoment(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	refusing := &unavailable{JetStream: h.js}
	refusing.left.Store(1)
	h.parts.JetStream, h.parts.Batcher = refusing, &losesFirst{Batcher: h.batcher}
	seen := h.subscribe()
	if _, _, err := newPublisher(h.parts).Publish(t.Context(), delivery(1), event("a"), false); err != nil {
		t.Fatal(err)
	}
	if refusing.left.Load() >= 0 {
		t.Error("no search was refused: this test proves nothing")
	}
	if n := seen(1)["a"]; n != 1 {
		t.Errorf("the subscriber got %d copies, want 1", n)
	}
}

// errUnavailable is the answer of a cluster without a leader.
func errUnavailable() error {
	return &jetstream.APIError{Code: 503, ErrorCode: 10008, Description: "JetStream system temporarily unavailable"}
}

// unavailable is a server that refuses the first consumers.
type unavailable struct {
	jetstream.JetStream
	left atomic.Int32
}

func (u *unavailable) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	if u.left.Add(-1) >= 0 {
		return nil, errUnavailable()
	}
	return u.JetStream.CreateConsumer(ctx, stream, cfg)
}

// losesFirst loses the first answer.
type losesFirst struct {
	publisher.Batcher
	lost atomic.Bool
}

func (l *losesFirst) Publish(ctx context.Context, m *nats.Msg) (jet.PubAck, error) {
	ack, err := l.Batcher.Publish(ctx, m)
	if !l.lost.Swap(true) {
		return jet.PubAck{}, nats.ErrTimeout
	}
	return ack, err
}

// One caller searches by time and by sequence for all who wait. The two searches fail and succeed on their own.
func TestARefusedSearchByTimeDoesNotFailTheOneBySequence(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	js := &refusesByTime{JetStream: h.js, reached: make(chan struct{}), proceed: make(chan struct{})}
	h.parts.JetStream, h.parts.Batcher = js, &losesFirst{Batcher: h.batcher}
	p := newPublisher(h.parts)
	var all sync.WaitGroup
	publish := func(id string, redelivered bool) {
		all.Go(func() {
			if _, _, err := p.Publish(t.Context(), delivery(1), event(id), redelivered); err != nil {
				t.Error(err)
			}
		})
	}
	waiting := func(want int) {
		t.Helper()
		natstest.Eventually(t, func() error {
			if n := p.Waiting(); n != want {
				return fmt.Errorf("got %d queries waiting, want %d", n, want)
			}
			return nil
		})
	}
	publish("first", true)
	<-js.reached
	publish("by time", true)
	waiting(1)
	publish("by sequence", false) // its answer is lost
	waiting(2)
	close(js.proceed)
	all.Wait()
	if n := js.bySequence.Load(); n != 1 {
		t.Errorf("got %d searches by sequence, want 1", n)
	}
	if n := js.byTime.Load(); n < 3 {
		t.Errorf("got %d searches by time, want one that was refused and its repetition: this test proves nothing", n)
	}
}

// refusesByTime is a server that blocks the first search by time until the test lets it continue, and refuses the second.
type refusesByTime struct {
	jetstream.JetStream
	reached, proceed   chan struct{}
	byTime, bySequence atomic.Int32
}

func (r *refusesByTime) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	if cfg.OptStartTime == nil {
		r.bySequence.Add(1)
		return r.JetStream.CreateConsumer(ctx, stream, cfg)
	}
	switch r.byTime.Add(1) {
	case 1:
		// It finds nothing, so the next one is by time as well.
		consumer, err := r.JetStream.CreateConsumer(ctx, stream, cfg)
		close(r.reached)
		<-r.proceed
		return consumer, err
	case 2:
		return nil, errUnavailable()
	}
	return r.JetStream.CreateConsumer(ctx, stream, cfg)
}
