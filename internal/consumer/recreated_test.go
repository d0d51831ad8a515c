package consumer_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/consumer"
)

// A stream that was deleted and recreated counts from 1 again, so the request that has an old sequence is another one.
func TestARequestOfARecreatedStreamIsHandled(t *testing.T) {
	t.Parallel()
	h := newHarness(t, longLease, 1)
	handler := newHandler()
	h.run(handler, 10)
	handler.wait(t, 1)
	h.deleteStream()
	h.createStream()
	h.publish("another")
	handler.waitFirst(t, 2)
	handler.verdicts <- nil
	handler.verdicts <- nil
	h.waitUnacked(0)
	if got := h.info().AckFloor.Stream; got != 1 {
		t.Errorf("got acks up to sequence %d, want 1", got)
	}
}

// An ack names the stream and a sequence, so that of an old delivery would remove a request that another worker has.
func TestAnAckOfADeletedStreamRemovesNothing(t *testing.T) {
	t.Parallel()
	const requests = 3
	h := newHarness(t, longLease, requests)
	old := newHandler()
	oldWorker := h.run(old, requests) // it has no slot left, and so does not pull
	old.wait(t, requests)
	h.deleteStream()
	h.createStream()
	for i := range requests {
		h.publish(fmt.Sprint("new ", i))
	}
	current := newHandler()
	h.run(current, requests)
	current.wait(t, requests)
	cached := time.NewTimer(1100 * time.Millisecond) // a worker asks about its stream once in a second
	<-cached.C
	answers := h.answers()
	for range requests {
		old.verdicts <- nil
	}
	oldWorker.stop() // the server has received whatever it answered
	for range requests {
		current.verdicts <- errors.New("the worker dies") // it answers nothing
	}
	if got := h.info().NumAckPending; got != requests {
		t.Errorf("got %d requests un-acked, want %d", got, requests)
	}
	for _, a := range answers() {
		t.Errorf("got answer %q to a delivery of the old stream, want none", a.what)
	}
}

// The NAK of a drain is held back until the last pull is over, and meanwhile its sequence can become another request's.
func TestANAKOfADeletedStreamIsNotSent(t *testing.T) {
	t.Parallel()
	h := newHarness(t, longLease, 1)
	old := newHandler()
	pulls := gated{open: make(chan struct{}), reached: make(chan struct{})}
	oldWorker := h.run(old, 2, func(p *consumer.Parts) { pulls.Consumer, p.Source = p.Source, &pulls })
	old.wait(t, 1)
	<-pulls.reached
	go oldWorker.stop()
	oldWorker.waitMetric("capstan_requests_released_total", "handed_over", 1)
	h.deleteStream()
	h.createStream()
	h.publish("another")
	current := newHandler()
	h.run(current, 1)
	current.wait(t, 1)
	answers := h.answers()
	oldWorker.parts.Stream.Invalidate() // a worker asks about its stream once in a second
	close(pulls.open)
	oldWorker.stop() // the server has received whatever it answered
	for _, a := range answers() {
		if a.what == "-NAK" { // the new worker sends heartbeats
			t.Error("got a NAK of a delivery of the old stream, want none")
		}
	}
}

// gated is a pull consumer whose second pull begins when open is closed.
type gated struct {
	jetstream.Consumer
	count         atomic.Int32
	reached, open chan struct{}
}

func (g *gated) Fetch(n int, opts ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	if g.count.Add(1) == 2 {
		close(g.reached)
		<-g.open
	}
	return g.Consumer.Fetch(n, opts...)
}

func (h *harness) deleteStream() {
	h.t.Helper()
	if err := h.js.DeleteStream(h.t.Context(), "TASKS"); err != nil {
		h.t.Fatal(err)
	}
}
