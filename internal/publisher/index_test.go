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
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/servertime"
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
	if took := time.Since(began); took >= jet.Quick {
		t.Errorf("a look at 3 events took %v, want less than the time of an answer that is lost", took)
	}
}

// countingLooks counts the consumers that are made.
type countingLooks struct {
	jetstream.JetStream
	made atomic.Int32
}

func (c *countingLooks) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	c.made.Add(1)
	return c.JetStream.CreateConsumer(ctx, stream, cfg)
}

// counting returns a publisher whose looks are counted, with that many bytes for its index.
func (h *harness) counting(index int64) (*publisher.Publisher, *countingLooks) {
	looks := &countingLooks{JetStream: h.js}
	h.parts.JetStream, h.parts.Index = looks, memory.NewBudget(index)
	return newPublisher(h.parts), looks
}

// The stream tells a duplicate by itself until it forgets ids.
func TestTheEventOfAYoungTaskIsNotLookedFor(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{}) // remembers ids for an hour
	p, looks := h.counting(1 << 20)
	for _, tc := range []struct {
		id    string
		age   time.Duration
		looks int32
	}{
		{"a", 29 * time.Minute, 0},
		{"b", 31 * time.Minute, 1},
	} {
		for range 2 {
			ev := event(tc.id)
			ev.RequestedAt = time.Now().Add(-tc.age)
			ev.SubmittedAt = time.Now()
			if _, _, err := p.Publish(t.Context(), message(1), ev, true); err != nil {
				t.Fatal(err)
			}
			if tc.looks == 0 && looks.made.Load() > 0 {
				t.Errorf("%v old: got a look, want none", tc.age)
			}
		}
		if got := looks.made.Load(); got < tc.looks {
			t.Errorf("%v old: got %d looks, want %d or more", tc.age, got, tc.looks)
		}
	}
}

// A worker whose clock is off asks by the server's: a task is as old as that says.
func TestTheAgeOfATaskIsByTheServersClock(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	h.parts.Clock = &servertime.Clock{}
	h.parts.Clock.Observe(time.Now().Add(-2*time.Hour), time.Now(), time.Now())
	p, looks := h.counting(1 << 20)
	ev := event("a")
	ev.RequestedAt = time.Now().Add(-2*time.Hour - time.Minute)
	if _, _, err := p.Publish(t.Context(), message(1), ev, true); err != nil {
		t.Fatal(err)
	}
	if looks.made.Load() > 0 {
		t.Error("got a look for a task that is a minute old by the server's clock")
	}
}

// The index has a budget. Where it does not fit, events are found all the same, and nothing is kept.
func TestEventsAreFoundWithoutRoomForAnIndex(t *testing.T) {
	t.Parallel()
	const tasks = 300
	for name, size := range map[string]int64{"room for none": 1, "room for some": 100 * 48, "room for all": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, natsserver.Config{})
			h.window(100 * time.Millisecond)
			p, looks := h.counting(size)
			requested := time.Now().Add(-time.Hour)
			h.publishAll(p, tasks, requested, false)
			forget := time.NewTimer(300 * time.Millisecond)
			<-forget.C
			h.publishAll(p, tasks, requested, true)
			if got := h.lastSeq(); got != tasks {
				t.Errorf("got %d events, want each once: %d", got, tasks)
			}
			if reserved := h.parts.Index.Reserved(); reserved > size || (reserved > 0) != (size > tasks*48) {
				t.Errorf("got %d bytes of %d reserved, want some only where all fits", reserved, size)
			}
			if got := looks.made.Load(); got > tasks/3 {
				t.Errorf("got %d looks for %d tasks at once, want one for all that wait", got, tasks)
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
			if _, _, err := p.Publish(h.t.Context(), message(uint64(i+1)), ev, redelivered); err != nil {
				h.t.Error(err)
			}
		})
	}
	all.Wait()
}

// One look answers many. Where it fails for good, the others that it was for are answered by the next.
func TestALookThatFailsIsTakenByAnother(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	h.window(100 * time.Millisecond)
	requested := time.Now().Add(-time.Hour)
	h.publishAll(h.Publisher, 2, requested, false)
	forget := time.NewTimer(300 * time.Millisecond)
	<-forget.C
	failing := &failing{JetStream: h.js, reached: make(chan struct{}), goOn: make(chan struct{})}
	h.parts.JetStream = failing
	p := newPublisher(h.parts)
	publish := func(id string, ended chan<- error) {
		ev := event(id)
		ev.RequestedAt = requested
		_, _, err := p.Publish(t.Context(), message(1), ev, true)
		ended <- err
	}
	first, others := make(chan error, 1), make(chan error, 2)
	go publish("new", first)
	<-failing.reached
	go publish("t0", others)
	go publish("t1", others)
	natstest.Eventually(t, func() error {
		if n := p.Waiting(); n != 2 {
			return fmt.Errorf("got %d that wait, want 2", n)
		}
		return nil
	})
	close(failing.goOn)
	if err := <-first; err != nil {
		t.Errorf("got %v, want the first event stored", err)
	}
	if one, other := <-others, <-others; (one == nil) == (other == nil) {
		t.Errorf("got %v and %v, want the look to fail for one of them", one, other)
	}
	if got := h.lastSeq(); got != 3 {
		t.Errorf("got %d events, want each once: 3", got)
	}
}

// failing waits in the first look, and closes the second one's connection.
type failing struct {
	jetstream.JetStream
	reached, goOn chan struct{}
	looks         atomic.Int32
}

func (f *failing) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	switch f.looks.Add(1) {
	case 1:
		close(f.reached)
		<-f.goOn
	case 2:
		return nil, nats.ErrConnectionClosed
	}
	return f.JetStream.CreateConsumer(ctx, stream, cfg)
}
