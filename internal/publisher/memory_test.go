package publisher_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/publisher"
)

// A large result is not copied on its way into the object store.
func TestALargeResultIsNotCopied(t *testing.T) { // not parallel: it counts what the process allocates
	const size = 32 << 20
	result := make(json.RawMessage, size)
	for i := range result {
		result[i] = 'x'
	}
	result[0], result[size-1] = '"', '"'
	p := newPublisher(publisher.Parts{Conn: &nats.Conn{}, Batcher: small{}, Results: boundStream{}, Large: discard{}})
	ev := event("a")
	ev.Result, ev.RawResult = result, result
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	kept, _, err := p.Publish(t.Context(), delivery(1), ev, false)
	if err != nil || kept.ResultRef == nil || kept.ResultRef.Size != size {
		t.Fatalf("got %+v, %v", kept.ResultRef, err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > size/16 {
		t.Errorf("got %d KiB allocated for a result of %d KiB, want no copy of it", got>>10, size>>10)
	}
}

// boundStream is a results stream that takes messages of 1 MiB.
type boundStream struct{ jetstream.Stream }

func (boundStream) CachedInfo() *jetstream.StreamInfo {
	return &jetstream.StreamInfo{Config: jetstream.StreamConfig{MaxMsgSize: 1 << 20}}
}

func TestFewResultsAreUploadedAtOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	store := &crowded{ObjectStore: h.large}
	p := h.withStore(store)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			ev := event(fmt.Sprint("t", i))
			ev.Result = json.RawMessage(`"` + strings.Repeat("x", 8192) + `"`)
			if _, _, err := p.Publish(t.Context(), delivery(uint64(i+1)), ev, false); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most := store.most.Load(); most < 1 || most > 2 {
		t.Errorf("got %d uploads at once, want 2 at most", most)
	}
}

// crowded is an object store that counts the uploads at once.
type crowded struct {
	jetstream.ObjectStore
	now, most atomic.Int32
}

func (c *crowded) Put(ctx context.Context, meta jetstream.ObjectMeta, r io.Reader) (*jetstream.ObjectInfo, error) {
	now := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	return c.ObjectStore.Put(ctx, meta, r)
}

// Bytes that no JSON reader accepts are not stored in the object store either.
func TestALargeResultIsPortableToo(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	ev := event("a")
	ev.Result = json.RawMessage(`{"text":"` + strings.Repeat("x", 8192) + "\xFF" + `\ud83d","n":1e400}`)
	kept, _, err := h.Publish(t.Context(), delivery(1), ev, false)
	if err != nil {
		t.Fatal(err)
	}
	data, err := h.large.GetBytes(t.Context(), kept.ResultRef.Name)
	if err != nil || !utf8.Valid(data) || !jsontext.Value(data).IsValid() || !strings.HasSuffix(string(data), `"n":"1e400"}`) {
		t.Errorf("got %.20q … %q, %v, want JSON for every reader", data, data[max(0, len(data)-40):], err)
	}
}

// An older worker may have stored an event that not every JSON reader accepts.
func TestAReplayIsPortable(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	msg := nats.NewMsg(results.Subject)
	msg.Header.Set("ce-subject", "a")
	msg.Data = []byte("{\"task_id\":\"a\",\"result\":\"Z\xFCrich\"}")
	if _, err := h.js.PublishMsg(t.Context(), msg); err != nil {
		t.Fatal(err)
	}
	if err := h.Replay(t.Context(), delivery(2), "a", 1); err != nil {
		t.Fatal(err)
	}
	if got := string(h.get(2).Data); got != "{\"task_id\":\"a\",\"result\":\"Z\uFFFDrich\"}" {
		t.Errorf("got %q", got)
	}
}
