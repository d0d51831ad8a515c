package publisher_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver"
)

// The stream detects a duplicate of an event that no longer exists: a full stream discarded it, or an operator purged it.
func TestAnEventThatWasRemovedIsNotStoredASecondTime(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name        string
		redelivered bool
		between     bool // something else is stored before the request
		want        uint64
	}{
		{name: "an earlier delivery may have stored it", redelivered: true, want: 1},
		{name: "nothing of the task was sent before: it was another request's", want: 2},
		{name: "it was older than the request", redelivered: true, between: true, want: 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, natsserver.Config{})
			if _, _, err := h.Publish(t.Context(), delivery(1), event("a"), false); err != nil {
				t.Fatal(err)
			}
			if tc.between {
				if _, _, err := h.Publish(t.Context(), delivery(2), event("b"), false); err != nil {
					t.Fatal(err)
				}
			}
			ev := event("a")
			ev.RequestedAt = stored.Add(time.Second)
			if tc.between {
				ev.RequestedAt = time.Now().Add(time.Minute)
			}
			if err := h.results.DeleteMsg(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if _, _, err := h.Publish(t.Context(), delivery(3), ev, tc.redelivered); err != nil {
				t.Fatal(err)
			}
			if got := h.lastSeq(); got != tc.want {
				t.Errorf("got %d messages ever, want %d", got, tc.want)
			}
		})
	}
}

// The answer was lost, and a full stream discarded the event before the next attempt.
func TestAnEventThatIsDiscardedAtOnceIsNotSentAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	cfg := h.results.CachedInfo().Config
	cfg.MaxMsgs = 1
	var err error
	if h.results, err = h.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	discarding := &discarding{harness: h}
	h.parts.Batcher = discarding
	if _, _, err := newPublisher(h.parts).Publish(t.Context(), delivery(1), event("a"), false); err != nil {
		t.Fatal(err)
	}
	if got := h.lastSeq(); got != 2 {
		t.Errorf("got %d messages ever, want the event and the one that took its place", got)
	}
}

// discarding loses the first answer, and then has the event discarded.
type discarding struct {
	*harness
	lost bool
}

func (d *discarding) Publish(ctx context.Context, m *nats.Msg) (jet.PubAck, error) {
	ack, err := d.batcher.Publish(ctx, m)
	if d.lost || err != nil {
		return ack, err
	}
	d.lost = true
	if _, err := d.js.Publish(ctx, results.Subject, []byte("{}")); err != nil {
		d.t.Error(err)
	}
	return jet.PubAck{}, nats.ErrTimeout
}
