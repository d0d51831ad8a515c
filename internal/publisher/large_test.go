package publisher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// A chunk that finds nobody on the server is sent again by the client, out of a buffer that holds the next
// chunk by then: the object is stored, and is not what was to be stored.
func TestAResultThatWasStoredCorruptIsStoredAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 64 << 10})
	store := &leaderless{ObjectStore: h.large, harness: h}
	ev := event("large")
	ev.Result = json.RawMessage(`"` + strings.Repeat("a", 32<<10) + strings.Repeat("b", 32<<10) + `"`)
	if _, _, err := h.on(store).Publish(t.Context(), message(7), ev, false); err != nil {
		t.Fatal(err)
	}
	var stored task.Event
	if err := json.Unmarshal(messages(t, h.results)[0].Data, &stored); err != nil || stored.ResultRef == nil {
		t.Fatalf("got an event with %+v, %v, want a reference", stored.ResultRef, err)
	}
	if !store.corrupted {
		t.Error("the first upload was as it should be: this test tries nothing")
	}
	result, err := h.large.GetBytes(t.Context(), stored.ResultRef.Name)
	if err != nil || !bytes.Equal(result, ev.Result) {
		t.Errorf("got %d bytes, %v, want the result", len(result), err)
	}
}

// on returns a publisher like the harness's, on another object store.
func (h *harness) on(large jetstream.ObjectStore) *publisher.Publisher {
	h.parts.Large = large
	return newPublisher(h.parts)
}

// leaderless is an object store whose stream is away while the first upload begins.
type leaderless struct {
	jetstream.ObjectStore
	*harness
	uploads   int
	corrupted bool
}

func (l *leaderless) Put(ctx context.Context, meta jetstream.ObjectMeta, r io.Reader) (*jetstream.ObjectInfo, error) {
	l.uploads++
	if l.uploads > 1 {
		return l.ObjectStore.Put(ctx, meta, r)
	}
	info, err := l.ObjectStore.Put(ctx, meta, io.MultiReader(readerFunc(l.away), r))
	if err == nil {
		_, err := l.GetBytes(ctx, meta.Name)
		l.corrupted = err != nil
	}
	return info, err
}

// away removes the object store's stream, for long enough that a chunk or two are refused.
func (l *leaderless) away([]byte) (int, error) {
	stream, err := l.js.Stream(l.t.Context(), "OBJ_"+results.Bucket)
	if err != nil {
		return 0, err
	}
	if err := l.js.DeleteStream(l.t.Context(), stream.CachedInfo().Config.Name); err != nil {
		return 0, err
	}
	time.AfterFunc(100*time.Millisecond, func() {
		if _, err := l.js.CreateStream(l.t.Context(), stream.CachedInfo().Config); err != nil {
			l.t.Error(err)
		}
	})
	return 0, io.EOF
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// An answer that never comes must not keep an event back for as long as a slow link may take.
func TestAnUploadWithoutAnAnswerIsTriedAgainSoon(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	store := &unanswered{ObjectStore: h.large, left: 1}
	ev := event("large")
	ev.Result = json.RawMessage(`"` + strings.Repeat("a", 8192) + `"`)
	if _, _, err := h.on(store).Publish(t.Context(), message(7), ev, false); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{10 * time.Second, 20 * time.Second}
	if !slices.Equal(store.patience, want) {
		t.Errorf("uploads had %v, want %v", store.patience, want)
	}
}

// However long the object store is away, the try after that has the time that an upload may take.
func TestAnUploadHasItsTimeAfterALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &unanswered{ObjectStore: willing{}, left: 100} // five hours
		p := newPublisher(publisher.Parts{Conn: &nats.Conn{}, Batcher: small{}, Results: emptyStream{}, Large: store})
		if _, _, err := p.Publish(t.Context(), message(7), event("large"), false); err != nil {
			t.Fatal(err)
		}
		if got := store.patience[len(store.patience)-1]; got != 3*time.Minute {
			t.Errorf("the last upload had %v, want 3m", got)
		}
	})
}

// small is an batcher that takes no event with its result in it.
type small struct{}

func (small) Publish(_ context.Context, msg *nats.Msg) (jet.PubAck, error) {
	if !bytes.Contains(msg.Data, []byte("result_ref")) {
		return jet.PubAck{}, nats.ErrMaxPayload
	}
	return jet.PubAck{Sequence: 1}, nil
}

// emptyStream is a results stream without events and limits.
type emptyStream struct{ jetstream.Stream }

func (emptyStream) CachedInfo() *jetstream.StreamInfo { return &jetstream.StreamInfo{} }

// willing is an object store that takes everything, and keeps nothing.
type willing struct{ jetstream.ObjectStore }

func (willing) Put(_ context.Context, _ jetstream.ObjectMeta, r io.Reader) (*jetstream.ObjectInfo, error) {
	n, err := io.Copy(io.Discard, r)
	return &jetstream.ObjectInfo{Size: uint64(n)}, err
}

func (willing) Get(context.Context, string, ...jetstream.GetObjectOpt) (jetstream.ObjectResult, error) {
	return emptyObject{strings.NewReader("")}, nil
}

type emptyObject struct{ io.Reader }

func (emptyObject) Close() error                         { return nil }
func (emptyObject) Info() (*jetstream.ObjectInfo, error) { return &jetstream.ObjectInfo{}, nil }
func (emptyObject) Error() error                         { return nil }

// unanswered is an object store whose first uploads are not answered in time.
type unanswered struct {
	jetstream.ObjectStore
	left     int
	patience []time.Duration
}

func (u *unanswered) Put(ctx context.Context, meta jetstream.ObjectMeta, r io.Reader) (*jetstream.ObjectInfo, error) {
	deadline, _ := ctx.Deadline()
	u.patience = append(u.patience, time.Until(deadline).Round(10*time.Second))
	u.left--
	if u.left >= 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return u.ObjectStore.Put(ctx, meta, r)
}

// A worker that has to go closes its connection. An upload that hangs must not hold it.
func TestAnUploadEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	store := &hanging{ObjectStore: h.large, reached: make(chan struct{})}
	ev := event("large")
	ev.Result = json.RawMessage(`"` + strings.Repeat("a", 8192) + `"`)
	ended := make(chan error, 1)
	go func() {
		_, _, err := h.on(store).Publish(t.Context(), message(7), ev, false)
		ended <- err
	}()
	<-store.reached
	began := time.Now()
	h.nc.Close()
	if err := <-ended; !errors.Is(err, nats.ErrConnectionClosed) || time.Since(began) > firstTry/2 {
		t.Errorf("got %v after %v, want ErrConnectionClosed at once", err, time.Since(began))
	}
}

// firstTry is what the first try of an upload may take.
const firstTry = 10 * time.Second

// hanging is an object store that can be written, and hangs when it is read.
type hanging struct {
	jetstream.ObjectStore
	reached chan struct{}
}

func (h *hanging) Get(ctx context.Context, _ string, _ ...jetstream.GetObjectOpt) (jetstream.ObjectResult, error) {
	close(h.reached)
	<-ctx.Done()
	return nil, ctx.Err()
}
