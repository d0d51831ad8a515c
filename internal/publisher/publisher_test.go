package publisher_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver"
)

func TestAnEventCarriesItsHeaders(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	d := delivery(7)
	d.Header = map[string][]string{"Traceparent": {"00-ab-cd-01"}, "tracestate": {"x=y"}, "other": {"z"}}
	if _, _, err := h.Publish(t.Context(), d, event("ord-1"), false); err != nil {
		t.Fatal(err)
	}
	got := messages(t, h.results)[0].Header
	for name, want := range map[string]string{
		"Nats-Msg-Id": "ord-1", "content-type": "application/json", "ce-specversion": "1.0", "ce-id": "ord-1",
		"ce-source": "/capstan/TASKS", "ce-type": "dev.capstan.task.succeeded", "ce-time": "2026-03-01T12:01:00.123456789Z",
		"ce-subject": "ord-1", "Capstan-Sequence": "7", "ce-datacontenttype": "application/json", "ce-dataschema": "urn:capstan:schema:event:1", "traceparent": "00-ab-cd-01", "tracestate": "x=y", "other": "",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: got %q, want %q", name, got.Get(name), want)
		}
	}
}

func TestAnEventIsStoredOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, first, err := h.Publish(t.Context(), delivery(7), event("ord-1"), false)
	if err != nil {
		t.Fatal(err)
	}
	again := event("ord-1")
	again.Worker, again.FinishedAt = "w2", stored.Add(time.Hour)
	kept, second, err := h.Publish(t.Context(), delivery(7), again, false)
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

// A broken request is answered under its task id. Fixed and sent again, it has the same id. The stream takes the second
// event for a duplicate of the first.
func TestAnEventForAnotherRequestIsNoDuplicate(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	if _, _, err := h.Publish(t.Context(), delivery(7), event("ord-1"), false); err != nil {
		t.Fatal(err)
	}
	fixed := event("ord-1")
	fixed.RequestedAt = stored.Add(time.Second)
	_, seq, err := h.Publish(t.Context(), delivery(8), fixed, false)
	if err != nil {
		t.Fatal(err)
	}
	all := messages(t, h.results)
	if len(all) != 2 || seq != 2 || all[1].Header.Get("Nats-Msg-Id") != perRequest("ord-1", 8) {
		t.Errorf("got %d events, sequence %d, want two", len(all), seq)
	}
}

// Both an outage and a full stream are waited for.
func TestAnEventWaitsUntilItCanBeStored(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]struct{ begin, end func(*harness) }{
		"NATS unreachable": {
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
			if _, _, err := h.Publish(t.Context(), delivery(1), event("first"), false); err != nil {
				t.Fatal(err)
			}
			trouble.begin(h)
			stored := make(chan error, 1)
			go func() {
				_, _, err := h.Publish(context.WithoutCancel(t.Context()), delivery(7), event("second"), false)
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

// The stream forgets message ids after a while, and an outage may last longer.
func TestAnEventIsStoredOnceEvenAfterItsIDIsForgotten(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	h.window(200 * time.Millisecond)
	requested := time.Now().Add(-time.Hour)
	for i := range uint64(3) {
		ev := event(fmt.Sprint("t", i))
		ev.RequestedAt = requested
		for nth := range 3 {
			_, seq, err := h.Publish(t.Context(), delivery(i+1), ev, nth > 0)
			if err != nil {
				t.Fatal(err)
			}
			if seq != i+1 {
				t.Errorf("task %d, delivery %d: got sequence %d, want %d", i, nth, seq, i+1)
			}
			forget := time.NewTimer(400 * time.Millisecond)
			<-forget.C
		}
	}
	other := event("t0")
	other.RequestedAt = requested.Add(time.Minute)
	if _, seq, err := h.Publish(t.Context(), delivery(9), other, true); err != nil || seq != 4 {
		t.Errorf("another request's event: got sequence %d, %v, want it stored", seq, err)
	}
}

// The event was stored, but the answer was lost, and NATS was unreachable until the stream had forgotten the id.
func TestAnEventWhoseAnswerWasLostLongAgoIsStoredOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	h.window(200 * time.Millisecond)
	h.lossy.lose(3) // tries, with waits that grow between them
	_, seq, err := h.Publish(t.Context(), delivery(7), event("a"), false)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(messages(t, h.results)); n != 1 || seq != 1 {
		t.Errorf("got %d events, sequence %d, want one", n, seq)
	}
}
