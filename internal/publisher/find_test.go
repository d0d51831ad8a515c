package publisher_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// countingReads counts the messages that are read.
type countingReads struct {
	jetstream.Stream
	n atomic.Int64
}

func (c *countingReads) GetMsg(ctx context.Context, seq uint64, opts ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	c.n.Add(1)
	return c.Stream.GetMsg(ctx, seq, opts...)
}

// countingReads returns a publisher whose reads are counted, with this many bytes for its index.
func (h *harness) countingReads(index int64) (*publisher.Publisher, *countingReads) {
	reads := &countingReads{Stream: h.results}
	h.parts.Results, h.parts.Index = reads, memory.NewBudget(index)
	return newPublisher(h.parts), reads
}

// eachSearch runs a test with an index, and without one, so that each search reads all headers.
func eachSearch(t *testing.T, test func(h *harness, p *publisher.Publisher, reads *countingReads)) {
	t.Helper()
	for name, index := range map[string]int64{"with an index": 1 << 20, "without": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, natsserver.Config{})
			p, reads := h.countingReads(index)
			test(h, p, reads)
		})
	}
}

// perRequestEvents stores n events of the task "a" under ids of their requests, which are 1 to n.
func (h *harness) perRequestEvents(p *publisher.Publisher, n int, change func(*task.Event)) {
	h.t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			ev := event("a")
			ev.RequestedAt = stored.Add(time.Duration(i+1) * time.Minute)
			change(&ev)
			if err := p.PublishPerRequest(h.t.Context(), delivery(uint64(i+1)), ev, false); err != nil {
				h.t.Error(err)
			}
		})
	}
	all.Wait()
}

// asDuplicate makes an event the refusal of a request whose task id is in use.
func asDuplicate(ev *task.Event) {
	ev.Status, ev.Result, ev.Error = task.Failed, nil, task.NewError(task.DuplicateTask, "in use")
}

// A producer may use one task id for all its requests, so that thousands of refusals have it.
func TestTheRefusalsOfOtherRequestsAreNotRead(t *testing.T) {
	t.Parallel()
	eachSearch(t, func(h *harness, p *publisher.Publisher, reads *countingReads) {
		h.perRequestEvents(p, 200, asDuplicate)
		for i := range uint64(5) {
			ev := event("a")
			asDuplicate(&ev)
			if err := p.PublishPerRequest(h.t.Context(), delivery(1000+i), ev, true); err != nil {
				h.t.Fatal(err)
			}
		}
		if _, _, _, err := p.Find(h.t.Context(), delivery(2000), "a", ""); !errors.Is(err, task.ErrNoEvent) {
			h.t.Errorf("got %v, want ErrNoEvent: a refusal ends no task", err)
		}
		if n := reads.n.Load(); n > 0 {
			h.t.Errorf("got %d events read, want none", n)
		}
	})
}

func TestOfManyEventsWithOneIDTheNewestAreFound(t *testing.T) {
	t.Parallel()
	eachSearch(t, func(h *harness, p *publisher.Publisher, reads *countingReads) {
		const n, most = 200, 64
		h.perRequestEvents(p, n, func(ev *task.Event) { ev.Digest = "some" })
		_, seq, answered, err := p.Find(h.t.Context(), delivery(2000), "a", "")
		if err != nil || answered || seq != n {
			h.t.Errorf("got event %d, %v, %v, want the newest, %d", seq, answered, err, n)
		}
		if got := reads.n.Load(); got > most {
			h.t.Errorf("got %d events read, want %d at most", got, most)
		}
		reads.n.Store(0)
		if err := p.PublishPerRequest(h.t.Context(), delivery(3000), event("a"), true); err != nil {
			h.t.Fatal(err)
		}
		if got := reads.n.Load(); got > 0 {
			h.t.Errorf("got %d events read for an event under another message id, want none", got)
		}
	})
}

// The index may go back further than the question.
func TestAnEventFromBeforeTheQuestionsTimeIsNotFound(t *testing.T) {
	t.Parallel()
	eachSearch(t, func(h *harness, p *publisher.Publisher, _ *countingReads) {
		if _, _, err := p.Publish(h.t.Context(), delivery(1), event("a"), false); err != nil {
			h.t.Fatal(err)
		}
		d := delivery(2)
		for _, c := range []struct {
			requested time.Time
			want      error
		}{{time.Now(), nil}, {time.Now().Add(2 * time.Hour), task.ErrNoEvent}} {
			d.Stored = c.requested
			if _, _, _, err := p.Find(h.t.Context(), d, "a", ""); !errors.Is(err, c.want) {
				h.t.Errorf("requested at %v: got %v, want %v", c.requested, err, c.want)
			}
		}
	})
}

// Another worker may have published the event of the same run a moment ago.
func TestTheEventOfTheSameRunIsFoundSinceATime(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	theirs := event("a")
	theirs.Worker = "w2"
	_, want, err := h.Publish(t.Context(), delivery(1), theirs, false)
	if err != nil {
		t.Fatal(err)
	}
	other := event("a")
	other.RequestedAt = stored.Add(time.Second)
	for name, c := range map[string]struct {
		ev    task.Event
		since time.Time
		found bool
	}{
		"the same run":       {event("a"), time.Now().Add(-time.Minute), true},
		"another request's":  {other, time.Now().Add(-time.Minute), false},
		"another task's":     {event("b"), time.Now().Add(-time.Minute), false},
		"stored before that": {event("a"), time.Now().Add(time.Minute), false},
	} {
		t.Run(name, func(t *testing.T) {
			got, seq, found, err := h.FindSince(t.Context(), delivery(1), c.ev, c.since)
			if err != nil || found != c.found {
				t.Fatalf("got found %v, %v, want %v", found, err, c.found)
			}
			if found && (got.Worker != "w2" || seq != want) {
				t.Errorf("got an event of %s with sequence %d, want w2's with %d", got.Worker, seq, want)
			}
		})
	}
}

// An event must not wait for a search that NATS will not allow: the stream itself drops a copy.
func TestARefusedSearchSinceATimeFindsNothing(t *testing.T) {
	t.Parallel()
	p := newHarness(t, natsserver.Config{}).withoutSearches()
	if _, _, found, err := p.FindSince(t.Context(), delivery(1), event("a"), time.Now()); found || err != nil {
		t.Errorf("got found %v, %v, want nothing", found, err)
	}
}

// Many callers may keep what they found while they wait to read the next event.
func TestAFoundEventHasOnlyItsVerdict(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	ev := event("a")
	ev.Status, ev.RawResult, ev.Metadata = task.Failed, json.RawMessage(`"raw"`), json.RawMessage(`{"a":1}`)
	ev.Error = task.NewError(task.AgentFailed, "a text")
	ev.WorkflowID, ev.WorkflowStatus, ev.Attempts, ev.Polls, ev.Digest, ev.SubmittedAt = "w", "failed", 1, 2, "some", stored
	if _, _, err := h.Publish(t.Context(), delivery(1), ev, false); err != nil {
		t.Fatal(err)
	}
	got, _, answered, err := h.Find(t.Context(), delivery(1), "a", "")
	if err != nil || !answered {
		t.Fatal(answered, err)
	}
	want := ev
	want.Result, want.RawResult, want.Metadata, want.WorkflowStatus, want.Worker = nil, nil, nil, "", ""
	want.Error = &task.Error{Code: task.AgentFailed, Retryable: ev.Error.Retryable}
	if got, want := fmt.Sprintf("%+v %+v", noError(got), *got.Error), fmt.Sprintf("%+v %+v", noError(want), *want.Error); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func noError(ev task.Event) task.Event {
	ev.Error = nil
	return ev
}

// An event of another request with the same id stands for the task. Which one must not depend on the memory for the index.
func TestOfSeveralEventsTheOneWithTheSameContentIsFound(t *testing.T) {
	t.Parallel()
	poisoned := func(ev *task.Event) {
		ev.Status, ev.Result, ev.Error = task.Failed, nil, task.NewError(task.Poisoned, "ten deliveries")
	}
	for name, c := range map[string]struct {
		digests []string // of the events in their order; "poisoned" is an event of a request that was not read
		want    uint64   // the sequence
	}{
		"the newest with the digest":       {[]string{"other", "same", "same", "other"}, 3},
		"else the newest":                  {[]string{"one", "two", "three"}, 3},
		"not that of an unread request":    {[]string{"other", "poisoned"}, 1},
		"none if only an unread one is it": {[]string{"poisoned"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachSearch(t, func(h *harness, p *publisher.Publisher, _ *countingReads) {
				for i, digest := range c.digests {
					ev := event("a")
					ev.RequestedAt = stored.Add(time.Duration(i+1) * time.Minute)
					if ev.Digest = digest; digest == "poisoned" {
						ev.Digest = ""
						poisoned(&ev)
					}
					if err := p.PublishPerRequest(h.t.Context(), delivery(uint64(i+1)), ev, false); err != nil {
						h.t.Fatal(err)
					}
				}
				ev, seq, answered, err := p.Find(h.t.Context(), delivery(100), "a", "same")
				if seq != c.want || answered || errors.Is(err, task.ErrNoEvent) != (c.want == 0) {
					h.t.Errorf("got event %d %+v, %v, %v, want %d", seq, ev, answered, err, c.want)
				}
			})
		})
	}
}
