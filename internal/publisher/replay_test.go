package publisher_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAReplayIsTheStoredEventUnderAnIDOfItsOwn(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, seq, err := h.Publish(t.Context(), delivery(7), event("ord-1"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Replay(t.Context(), delivery(9), "ord-1", seq); err != nil {
		t.Fatal(err)
	}
	all := messages(t, h.results)
	if len(all) != 2 {
		t.Fatalf("got %d events, want 2", len(all))
	}
	if got := all[1].Header; got.Get("Nats-Msg-Id") != perRequest("ord-1", 9) || got.Get("ce-id") != perRequest("ord-1", 9) || got.Get("Capstan-Replay") != "true" {
		t.Errorf("got headers %v", got)
	} else if got.Get("ce-source") != "/capstan/TASKS" || got.Get("Capstan-Sequence") != "9" {
		t.Errorf("got headers %v, want them to name the request that repeats the task", got)
	}
	if !bytes.Equal(all[0].Data, all[1].Data) {
		t.Errorf("got %s, want %s", all[1].Data, all[0].Data)
	}
}

func TestAReplayOfAMissingEventOrAnothersIsAnError(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, seq, err := h.Publish(t.Context(), delivery(7), event("ord-1"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Replay(t.Context(), delivery(9), "ord-1", seq+10); !errors.Is(err, task.ErrNoEvent) {
		t.Errorf("missing: got %v, want ErrNoEvent", err)
	}
	if err := h.Replay(t.Context(), delivery(9), "ord-2", seq); !errors.Is(err, task.ErrNoEvent) {
		t.Errorf("another's: got %v, want ErrNoEvent", err)
	}
}

func TestAReplayThatDoesNotFitIsPublishedWithAReference(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	var last uint64 // the sequence of the largest that fits
	for size := 3500; ; size++ {
		ev := event(fmt.Sprint("a", size))
		ev.Result = json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
		_, seq, err := h.Publish(t.Context(), delivery(uint64(size)), ev, false)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(h.get(seq).Data), "result_ref") {
			break
		}
		last = seq
	}
	if err := h.Replay(t.Context(), delivery(99999), h.get(last).Header.Get("ce-subject"), last); err != nil {
		t.Fatal(err)
	}
	if got := h.get(last + 2); got.Header.Get("Capstan-Replay") != "true" || !strings.Contains(string(got.Data), "result_ref") {
		t.Errorf("got %s, %v, want a replay with a reference", got.Data, got.Header)
	}
}

// A task id may look like another one with a sequence after it, and the sequences of a recreated stream start over.
func TestAnswersToRepeatedRequestsHaveIDsOfTheirOwn(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, seq, err := h.Publish(t.Context(), delivery(1), event("a"), false)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"a.3", "a.4"} {
		if _, _, err := h.Publish(t.Context(), delivery(uint64(i+2)), event(id), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Replay(t.Context(), delivery(3), "a", seq); err != nil {
		t.Fatal(err)
	}
	if err := h.PublishPerRequest(t.Context(), delivery(4), event("a"), false); err != nil {
		t.Fatal(err)
	}
	recreated := delivery(3)
	recreated.Stored = stored.Add(time.Hour)
	if err := h.Replay(t.Context(), recreated, "a", seq); err != nil {
		t.Fatal(err)
	}
	want := []string{"a", "a.3", "a.4", perRequest("a", 3), perRequest("a", 4), fmt.Sprintf("a/3/%d", recreated.Stored.UnixMilli())}
	if got := h.messageIDs(); !slices.Equal(got, want) {
		t.Errorf("got message ids %q, want %q", got, want)
	}
}

func TestAReplayIsStoredOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, seq, err := h.Publish(t.Context(), delivery(1), event("a"), false)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.Replay(t.Context(), delivery(3), "a", seq); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := h.messageIDs(), []string{"a", perRequest("a", 3)}; !slices.Equal(got, want) {
		t.Fatalf("got message ids %q, want %q", got, want)
	}
	if err := h.results.DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := h.Replay(t.Context(), delivery(3), "a", seq); err != nil {
		t.Fatal(err)
	}
	if got, want := h.lastSeq(), uint64(2); got != want {
		t.Errorf("got %d messages ever, want %d: the replay was stored before it was removed", got, want)
	}
}

func TestAnEventIsStoredEvenIfAnotherProgramUsesItsIDs(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, seq, err := h.Publish(t.Context(), delivery(1), event("a"), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{perRequest("a", 2), perRequest("a", 3)} {
		if _, err := h.js.Publish(t.Context(), results.Subject, []byte("not an event"), jetstream.WithMsgID(id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Replay(t.Context(), delivery(2), "a", seq); err != nil {
		t.Fatal(err)
	}
	if err := h.PublishPerRequest(t.Context(), delivery(3), event("a"), false); err != nil {
		t.Fatal(err)
	}
	if got := h.lastSeq(); got != 5 {
		t.Errorf("got %d messages, want both answers besides the other three", got)
	}
}
