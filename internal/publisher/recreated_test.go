package publisher_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver"
)

// The results stream may be created again, or have lost its last messages, while the index has events of the old one.
func TestEventsOfARecreatedStreamAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		others  int  // events that are stored after it
		sameAge bool // as if the stream had only lost its last messages
	}{"that is shorter": {}, "that is as long": {others: 4}, "that lost its last messages": {sameAge: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, natsserver.Config{})
			if c.sameAge {
				h.parts.JetStream = sameAge{h.js}
			}
			p := newPublisher(h.parts)
			d := delivery(9)
			d.Stored = time.Now()
			store := func(ids ...string) {
				t.Helper()
				for _, id := range ids {
					if _, _, err := p.Publish(t.Context(), delivery(1), event(id), false); err != nil {
						t.Fatal(err)
					}
				}
			}
			store("x", "y", "z")
			if _, _, _, err := p.Find(t.Context(), d, "x", ""); err != nil {
				t.Fatal(err)
			}
			cfg := h.results.CachedInfo().Config
			if err := h.js.DeleteStream(t.Context(), cfg.Name); err != nil {
				t.Fatal(err)
			}
			if _, err := h.js.CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			store("a")
			for i := range c.others {
				store(fmt.Sprint("other", i))
			}
			if _, seq, _, err := p.Find(t.Context(), d, "a", ""); err != nil || seq != 1 {
				t.Errorf("got %d, %v, want the new stream's first event", seq, err)
			}
		})
	}
}

// sameAge is a server that says of each stream that it was created at the same time.
type sameAge struct{ jetstream.JetStream }

func (s sameAge) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := s.JetStream.Stream(ctx, name)
	return agelessStream{stream}, err
}

type agelessStream struct{ jetstream.Stream }

func (s agelessStream) CachedInfo() *jetstream.StreamInfo {
	info := *s.Stream.CachedInfo()
	info.Created = stored
	return &info
}
