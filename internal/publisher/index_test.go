package publisher_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/retry"
)

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
	h.parts.JetStream = silent
	p := newPublisher(h.parts)
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
