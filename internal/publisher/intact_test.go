package publisher_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/task"
)

// nats.go waits for missing chunks until the deadline. An upload must not wait with it each time.
func TestAnObjectWithoutChunksIsStoredAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	ev := event("a")
	ev.Result = json.RawMessage(`"` + strings.Repeat("x", 2<<20) + `"`)
	first, err := h.Offload(t.Context(), delivery(1), ev)
	if err != nil || first.ResultRef == nil {
		t.Fatal(first.ResultRef, err)
	}
	stream, err := h.js.Stream(t.Context(), "OBJ_"+results.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$O."+results.Bucket+".C.>")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	if _, err := h.Offload(ctx, delivery(1), ev); err != nil {
		t.Fatal(err)
	}
	if data, err := h.large.GetBytes(ctx, first.ResultRef.Name); err != nil || !bytes.Equal(data, ev.Result) {
		t.Errorf("got %d bytes, %v, want the result", len(data), err)
	}
}

// The name of a dead letter's object does not depend on its content.
func TestAnIntactObjectWithOtherContentIsReplaced(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	d := delivery(7)
	d.Data = []byte(strings.Repeat("b", 4090))
	name := "dead/" + perRequest(d.Stream, d.Seq)
	if _, err := h.large.PutBytes(t.Context(), name, bytes.Repeat([]byte("a"), len(d.Data))); err != nil {
		t.Fatal(err)
	}
	if err := h.DeadLetter(t.Context(), d, task.DeadLetter{Body: d.Data, Reason: "broken"}); err != nil {
		t.Fatal(err)
	}
	if data, err := h.large.GetBytes(t.Context(), name); err != nil || !bytes.Equal(data, d.Data) {
		t.Errorf("got %.9q…, %v, want the body of this request", data, err)
	}
}
