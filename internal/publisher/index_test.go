package publisher_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/servertime"
)

// A worker that takes over thousands of tasks searches for their events without a consumer for each.
func TestSearchesLeaveNoConsumersBehind(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			if _, _, err := h.Publish(t.Context(), delivery(uint64(i+1)), event(fmt.Sprint("t", i)), true); err != nil {
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

// All tasks that were taken over wait for one search, so they must not wait long for an answer that was lost.
func TestASearchWithoutAnAnswerIsRetriedSoon(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	silent := &silent{JetStream: h.js, left: 2}
	h.parts.JetStream = silent
	p := newPublisher(h.parts)
	if _, _, err := p.Publish(t.Context(), delivery(1), event("a"), true); err != nil {
		t.Fatal(err)
	}
	if silent.left >= 0 {
		t.Error("all calls were answered: this test proves nothing")
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

// A search that asked for more would wait for events that may come.
func TestASearchFetchesNoMoreThanIsStored(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	const stored = 3
	for i := range stored {
		if _, _, err := h.Publish(t.Context(), delivery(1), event(fmt.Sprint("t", i)), false); err != nil {
			t.Fatal(err)
		}
	}
	fetches := &countingFetches{JetStream: h.js}
	h.parts.JetStream = fetches
	ev := event("t0")
	ev.RequestedAt = time.Now().Add(-time.Hour)
	if _, _, err := newPublisher(h.parts).Publish(t.Context(), delivery(2), ev, true); err != nil {
		t.Fatal(err)
	}
	if fetches.fetched != stored {
		t.Errorf("got a search for %d events, want %d", fetches.fetched, stored)
	}
}

// countingFetches counts how many messages its consumers ask for.
type countingFetches struct {
	jetstream.JetStream
	fetched int
}

func (c *countingFetches) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	consumer, err := c.JetStream.CreateConsumer(ctx, stream, cfg)
	return countedConsumer{consumer, c}, err
}

type countedConsumer struct {
	jetstream.Consumer
	by *countingFetches
}

func (c countedConsumer) Fetch(n int, opts ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	c.by.fetched += n
	return c.Consumer.Fetch(n, opts...)
}

// countingSearches counts the consumers that are created.
type countingSearches struct {
	jetstream.JetStream
	created atomic.Int32
}

func (c *countingSearches) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	c.created.Add(1)
	return c.JetStream.CreateConsumer(ctx, stream, cfg)
}

// counting returns a publisher whose searches are counted, with this many bytes for its index.
func (h *harness) counting(index int64) (*publisher.Publisher, *countingSearches) {
	searches := &countingSearches{JetStream: h.js}
	h.parts.JetStream, h.parts.Index = searches, memory.NewBudget(index)
	return newPublisher(h.parts), searches
}

// The stream itself detects the duplicate until it forgets ids.
func TestTheEventOfAYoungTaskIsNotSearchedFor(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{}) // remembers ids for an hour
	p, searches := h.counting(1 << 20)
	for _, tc := range []struct {
		id       string
		age      time.Duration
		searches int32
	}{
		{"a", 29 * time.Minute, 0},
		{"b", 31 * time.Minute, 1},
	} {
		for range 2 {
			ev := event(tc.id)
			ev.RequestedAt = time.Now().Add(-tc.age)
			ev.SubmittedAt = time.Now()
			if _, _, err := p.Publish(t.Context(), delivery(1), ev, true); err != nil {
				t.Fatal(err)
			}
			if tc.searches == 0 && searches.created.Load() > 0 {
				t.Errorf("%v old: got a search, want none", tc.age)
			}
		}
		if got := searches.created.Load(); got < tc.searches {
			t.Errorf("%v old: got %d searches, want %d or more", tc.age, got, tc.searches)
		}
	}
}

// The clock of the worker may be wrong.
func TestTheAgeOfATaskIsByTheServersClock(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	h.parts.Clock = &servertime.Clock{}
	h.parts.Clock.Observe(time.Now().Add(-2*time.Hour), time.Now(), time.Now())
	p, searches := h.counting(1 << 20)
	ev := event("a")
	ev.RequestedAt = time.Now().Add(-2*time.Hour - time.Minute)
	if _, _, err := p.Publish(t.Context(), delivery(1), ev, true); err != nil {
		t.Fatal(err)
	}
	if searches.created.Load() > 0 {
		t.Error("got a search for a task that is a minute old by the server's clock, want none")
	}
}

// If the index exceeds its budget, events are found without it, and no memory stays reserved.
func TestEventsAreFoundWithoutMemoryForAnIndex(t *testing.T) {
	t.Parallel()
	const tasks = 300
	for name, size := range map[string]int64{"memory for none": 1, "memory for some": 100 * 64, "memory for all": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, natsserver.Config{})
			h.window(100 * time.Millisecond)
			p, searches := h.counting(size)
			requested := time.Now().Add(-time.Hour)
			h.publishAll(p, tasks, requested, false)
			forget := time.NewTimer(300 * time.Millisecond)
			<-forget.C
			h.publishAll(p, tasks, requested, true)
			if got := h.lastSeq(); got != tasks {
				t.Errorf("got %d events, want each once: %d", got, tasks)
			}
			if reserved := h.parts.Index.Reserved(); reserved > size || (reserved > 0) != (size > tasks*64) {
				t.Errorf("got %d bytes of %d reserved, want some only where all fits", reserved, size)
			}
			if got := searches.created.Load(); got > tasks/3 {
				t.Errorf("got %d searches for %d tasks at once, want one for all that wait", got, tasks)
			}
			p.ExpireAfter(0)
			natstest.Eventually(t, func() error {
				if reserved := h.parts.Index.Reserved(); reserved > 0 {
					return fmt.Errorf("got %d bytes reserved by an index that is not used", reserved)
				}
				return nil
			})
		})
	}
}

// publishAll publishes the events of so many tasks at once.
func (h *harness) publishAll(p *publisher.Publisher, tasks int, requested time.Time, redelivered bool) {
	h.t.Helper()
	var all sync.WaitGroup
	for i := range tasks {
		all.Go(func() {
			ev := event(fmt.Sprint("t", i))
			ev.RequestedAt = requested
			if _, _, err := p.Publish(h.t.Context(), delivery(uint64(i+1)), ev, redelivered); err != nil {
				h.t.Error(err)
			}
		})
	}
	all.Wait()
}
