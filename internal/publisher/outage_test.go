package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/test/chaos/link"
)

// subscribe counts the copies that a subscriber without a consumer sees of each event, by message id. seen waits until
// it has seen a number of messages: a stream answers before the server has served its subscribers.
func (h *harness) subscribe() (seen func(atLeast int) map[string]int) {
	h.t.Helper()
	nc, _ := h.server.Connect()
	sub, err := nc.SubscribeSync(results.Subject)
	if err != nil {
		h.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		h.t.Fatal(err)
	}
	return func(atLeast int) map[string]int {
		natstest.Eventually(h.t, func() error {
			if n, _, err := sub.Pending(); err != nil || n < atLeast {
				return fmt.Errorf("got %d messages, want %d", n, atLeast)
			}
			return nil
		})
		if err := nc.Flush(); err != nil {
			h.t.Fatal(err)
		}
		counts := map[string]int{}
		for n, _, err := sub.Pending(); n > 0; n, _, err = sub.Pending() {
			if err != nil {
				h.t.Fatal(err)
			}
			msg, err := sub.NextMsg(time.Second)
			if err != nil {
				h.t.Fatal(err)
			}
			counts[msg.Header.Get("Nats-Msg-Id")]++
		}
		return counts
	}
}

// overLink returns a publisher that is connected as a worker is, over a link that can break.
func (h *harness) overLink() (*publisher.Publisher, *link.Link) {
	h.t.Helper()
	l, err := link.NATS(h.t.Context(), strings.TrimPrefix(h.server.URL(), "nats://"), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(l.Close)
	nc, err := nats.Connect("nats://"+l.Addr(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		h.t.Fatal(err)
	}
	h.parts.Conn, h.parts.JetStream, h.parts.Batcher = nc, js, natstest.Batcher(h.t, nc)
	if h.parts.Results, err = js.Stream(h.t.Context(), results.Stream); err != nil {
		h.t.Fatal(err)
	}
	if h.parts.Large, err = js.ObjectStore(h.t.Context(), results.Bucket); err != nil {
		h.t.Fatal(err)
	}
	return newPublisher(h.parts), l
}

// The stream detects copies of an event, but a subscriber without a consumer does not.
func TestASubscriberWithoutAConsumerGetsEachEventOnceAfterAnOutage(t *testing.T) {
	t.Parallel()
	const tasks = 300
	for name, outage := range map[string]struct{ begin, end func(*link.Link) }{
		"link cut":                   {(*link.Link).Down, (*link.Link).Heal},
		"link stalled":               {(*link.Link).Stall, (*link.Link).Heal},
		"link stalled, and then cut": {(*link.Link).Stall, func(l *link.Link) { l.Cut(); l.Heal() }},
		"answers lost":               {func(l *link.Link) { l.After(isEvent) }, (*link.Link).Heal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, natsserver.Config{})
			p, l := h.overLink()
			seen := h.subscribe()
			var all sync.WaitGroup
			publish := func(from, to int) {
				for i := from; i < to; i++ {
					all.Go(func() {
						if _, _, err := p.Publish(t.Context(), delivery(uint64(i+1)), event(fmt.Sprint("t", i)), false); err != nil {
							t.Error(err)
						}
					})
				}
			}
			publish(0, tasks/2) // some are on their way
			outage.begin(l)
			publish(tasks/2, tasks)
			<-time.After(5 * time.Second)
			outage.end(l)
			all.Wait()
			counts := seen(tasks)
			for i := range tasks {
				if n := counts[fmt.Sprint("t", i)]; n != 1 {
					t.Errorf("task %d: the subscriber got %d copies of its event, want 1", i, n)
				}
			}
			if n := len(messages(t, h.results)); n != tasks {
				t.Errorf("got %d events in the stream, want %d", n, tasks)
			}
		})
	}
}

func isEvent(f link.Frame) (string, bool) { return f.Subject, f.Subject == results.Subject }

// A full stream refuses an event, but a subscriber without a consumer has seen it, and would see it with each attempt.
func TestAnEventIsNotSentToAFullStreamAgainAndAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	if _, _, err := h.Publish(t.Context(), delivery(1), event("first"), false); err != nil {
		t.Fatal(err)
	}
	h.limit(1)
	seen := h.subscribe()
	stored := make(chan error, 1)
	go func() {
		_, _, err := h.Publish(context.WithoutCancel(t.Context()), delivery(2), event("second"), false)
		stored <- err
	}()
	<-time.After(3 * time.Second)
	h.limit(-1)
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	if n := seen(2)["second"]; n != 2 {
		t.Errorf("the subscriber got %d copies, want 2: the one that was refused, and the one that was stored", n)
	}
}

// Two workers have a task when NATS has forgotten a delivery. One of them is cut off while the other publishes the event.
func TestAnEventThatAnotherWorkerStoredInAnOutageIsNotSentAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	cutOff, l := h.overLink()
	seen := h.subscribe()
	l.Down()
	natstest.Eventually(t, func() error {
		if h.parts.Conn.IsConnected() {
			return errors.New("still connected")
		}
		return nil
	})
	stored := make(chan uint64, 1)
	go func() {
		_, seq, err := cutOff.Publish(context.WithoutCancel(t.Context()), delivery(1), event("a"), false)
		if err != nil {
			t.Error(err)
		}
		stored <- seq
	}()
	<-time.After(200 * time.Millisecond) // it tries, and is not connected
	_, want, err := h.Publish(t.Context(), delivery(1), event("a"), false)
	if err != nil {
		t.Fatal(err)
	}
	l.Heal()
	if got := <-stored; got != want {
		t.Errorf("got event %d, want the one that is stored, %d", got, want)
	}
	if n := seen(1)["a"]; n != 1 {
		t.Errorf("the subscriber got %d copies, want 1", n)
	}
}

// The stream refuses the event as full, and then refuses the search's consumer although it has space for the event.
func TestARefusedEventIsStoredThoughNoConsumerCanBeCreated(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	p := h.withoutSearches()
	if _, _, err := p.Publish(t.Context(), delivery(1), event("first"), false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	stored := make(chan error, 1)
	go func() {
		_, _, err := p.Publish(ctx, delivery(2), event("second"), false)
		stored <- err
	}()
	<-time.After(time.Second)
	if err := h.results.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-stored; err != nil {
		t.Errorf("got %v 14 s after there was space", err)
	}
}
