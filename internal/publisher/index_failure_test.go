package publisher_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// One search answers many queries. If it fails, the others are answered by the next search.
func TestQueriesOfASearchThatFailsAreAnsweredByTheNext(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	h.window(100 * time.Millisecond)
	requested := time.Now().Add(-time.Hour)
	h.publishAll(h.Publisher, 2, requested, false)
	forget := time.NewTimer(300 * time.Millisecond)
	<-forget.C
	failing := &failing{JetStream: h.js, reached: make(chan struct{}), proceed: make(chan struct{})}
	h.parts.JetStream = failing
	p := newPublisher(h.parts)
	publish := func(id string, ended chan<- error) {
		ev := event(id)
		ev.RequestedAt = requested
		_, _, err := p.Publish(t.Context(), delivery(1), ev, true)
		ended <- err
	}
	first, others := make(chan error, 1), make(chan error, 2)
	go publish("new", first)
	<-failing.reached
	go publish("t0", others)
	go publish("t1", others)
	natstest.Eventually(t, func() error {
		if n := p.Waiting(); n != 2 {
			return fmt.Errorf("got %d queries waiting, want 2", n)
		}
		return nil
	})
	close(failing.proceed)
	if err := <-first; err != nil {
		t.Errorf("got %v, want the first event stored", err)
	}
	if one, other := <-others, <-others; (one == nil) == (other == nil) {
		t.Errorf("got %v and %v, want the search to fail for one of them", one, other)
	}
	if got := h.lastSeq(); got != 3 {
		t.Errorf("got %d events, want each once: 3", got)
	}
}

// failing blocks the first search until the test lets it continue, and fails the second.
type failing struct {
	jetstream.JetStream
	reached, proceed chan struct{}
	searches         atomic.Int32
}

func (f *failing) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	switch f.searches.Add(1) {
	case 1:
		close(f.reached)
		<-f.proceed
	case 2:
		return nil, nats.ErrConnectionClosed
	}
	return f.JetStream.CreateConsumer(ctx, stream, cfg)
}
