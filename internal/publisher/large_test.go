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

// The client retries a chunk that met no responder from a buffer that holds the next chunk by then. The object is stored,
// but corrupt.
func TestAResultThatWasStoredCorruptIsStoredAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 64 << 10})
	store := &leaderless{ObjectStore: h.large, harness: h}
	ev := event("large")
	ev.Result = json.RawMessage(`"` + strings.Repeat("a", 32<<10) + strings.Repeat("b", 32<<10) + `"`)
	if _, _, err := h.withStore(store).Publish(t.Context(), delivery(7), ev, false); err != nil {
		t.Fatal(err)
	}
	var stored task.Event
	if err := json.Unmarshal(messages(t, h.results)[0].Data, &stored); err != nil || stored.ResultRef == nil {
		t.Fatalf("got an event with %+v, %v, want a reference", stored.ResultRef, err)
	}
	if !store.corrupted {
		t.Error("the first upload was not corrupted: this test proves nothing")
	}
	result, err := h.large.GetBytes(t.Context(), stored.ResultRef.Name)
	if err != nil || !bytes.Equal(result, ev.Result) {
		t.Errorf("got %d bytes, %v, want the result", len(result), err)
	}
}

// withStore returns a publisher like the harness's that uses another object store.
func (h *harness) withStore(large jetstream.ObjectStore) *publisher.Publisher {
	h.parts.Large = large
	return newPublisher(h.parts)
}

// leaderless is an object store whose stream does not exist while the first upload begins.
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
	info, err := l.ObjectStore.Put(ctx, meta, io.MultiReader(readerFunc(l.removeStream), r))
	if err == nil {
		_, err := l.GetBytes(ctx, meta.Name)
		l.corrupted = err != nil
	}
	return info, err
}

// removeStream removes the object store's stream for a moment, so that a chunk or two are refused.
func (l *leaderless) removeStream([]byte) (int, error) {
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

// An event must not wait for an answer that was lost for as long as a slow link may take.
func TestAnUploadWithoutAnAnswerIsRetriedSoon(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	store := &unanswered{ObjectStore: h.large, left: 1}
	ev := event("large")
	ev.Result = json.RawMessage(`"` + strings.Repeat("a", 8192) + `"`)
	if _, _, err := h.withStore(store).Publish(t.Context(), delivery(7), ev, false); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{10 * time.Second, 20 * time.Second}
	if !slices.Equal(store.timeouts, want) {
		t.Errorf("uploads had %v, want %v", store.timeouts, want)
	}
}

// The attempt after a long outage has the time that a slow link needs.
func TestAnUploadHasItsTimeAfterALongOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &unanswered{ObjectStore: discard{}, left: 100} // five hours
		p := newPublisher(publisher.Parts{Conn: &nats.Conn{}, Batcher: small{}, Results: emptyStream{}, Large: store})
		if _, _, err := p.Publish(t.Context(), delivery(7), event("large"), false); err != nil {
			t.Fatal(err)
		}
		if got := store.timeouts[len(store.timeouts)-1]; got != 3*time.Minute {
			t.Errorf("the last upload had %v, want 3m", got)
		}
	})
}

// small is a batcher to a stream that takes no event with its result in it.
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

// discard is an object store that stores nothing.
type discard struct{ jetstream.ObjectStore }

func (discard) Put(_ context.Context, _ jetstream.ObjectMeta, r io.Reader) (*jetstream.ObjectInfo, error) {
	n, err := io.Copy(io.Discard, r)
	return &jetstream.ObjectInfo{Size: uint64(n)}, err
}

func (discard) Get(context.Context, string, ...jetstream.GetObjectOpt) (jetstream.ObjectResult, error) {
	return emptyObject{strings.NewReader("")}, nil
}

func (discard) GetInfo(context.Context, string, ...jetstream.GetObjectInfoOpt) (*jetstream.ObjectInfo, error) {
	return nil, jetstream.ErrObjectNotFound
}

type emptyObject struct{ io.Reader }

func (emptyObject) Close() error                         { return nil }
func (emptyObject) Info() (*jetstream.ObjectInfo, error) { return &jetstream.ObjectInfo{}, nil }
func (emptyObject) Error() error                         { return nil }

// unanswered is an object store whose first uploads are not answered in time.
type unanswered struct {
	jetstream.ObjectStore
	left     int
	timeouts []time.Duration
}

func (u *unanswered) Put(ctx context.Context, meta jetstream.ObjectMeta, r io.Reader) (*jetstream.ObjectInfo, error) {
	deadline, _ := ctx.Deadline()
	u.timeouts = append(u.timeouts, time.Until(deadline).Round(10*time.Second))
	u.left--
	if u.left >= 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return u.ObjectStore.Put(ctx, meta, r)
}

// A worker that must stop closes its connection. An upload that hangs must not keep it running.
func TestAnUploadEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	store := &hanging{ObjectStore: h.large, reached: make(chan struct{})}
	ev := event("large")
	ev.Result = json.RawMessage(`"` + strings.Repeat("a", 8192) + `"`)
	ended := make(chan error, 1)
	go func() {
		_, _, err := h.withStore(store).Publish(t.Context(), delivery(7), ev, false)
		ended <- err
	}()
	<-store.reached
	began := time.Now()
	h.nc.Close()
	if err := <-ended; !errors.Is(err, nats.ErrConnectionClosed) || time.Since(began) > firstTimeout/2 {
		t.Errorf("got %v after %v, want ErrConnectionClosed at once", err, time.Since(began))
	}
}

// firstTimeout is the time-out of the first attempt to upload.
const firstTimeout = 10 * time.Second

// hanging is an object store that can be written but hangs when it is read.
type hanging struct {
	jetstream.ObjectStore
	reached chan struct{}
}

func (h *hanging) Get(ctx context.Context, _ string, _ ...jetstream.GetObjectOpt) (jetstream.ObjectResult, error) {
	close(h.reached)
	<-ctx.Done()
	return nil, ctx.Err()
}

// An event may refer to the object already, and a reader may be about to read it.
func TestAnIntactObjectIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	ev := event("a")
	ev.Result = json.RawMessage(`"` + strings.Repeat("x", 2<<20) + `"`)
	var first string
	for range 2 {
		stored, err := h.Offload(t.Context(), delivery(7), ev)
		if err != nil {
			t.Fatal(err)
		}
		info, err := h.large.GetInfo(t.Context(), stored.ResultRef.Name)
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = info.NUID
		}
		if info.NUID != first {
			t.Errorf("got another object after the second upload, want the first")
		}
	}
}
