package publisher_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAReplayIsTheStoredEventUnderAnIDOfItsOwn(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, seq, err := h.Publish(t.Context(), message(7), event("ord-1"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Replay(t.Context(), message(9), "ord-1", seq); err != nil {
		t.Fatal(err)
	}
	all := messages(t, h.results)
	if len(all) != 2 {
		t.Fatalf("got %d events, want 2", len(all))
	}
	if got := all[1].Header; got.Get("Nats-Msg-Id") != perRequest("ord-1", 9) || got.Get("ce-id") != perRequest("ord-1", 9) || got.Get("Capstan-Replay") != "true" {
		t.Errorf("got headers %v", got)
	}
	if !bytes.Equal(all[0].Data, all[1].Data) {
		t.Errorf("got %s, want %s", all[1].Data, all[0].Data)
	}
}

func TestAReplayOfWhatIsGoneOrAnothersSaysSo(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	_, seq, err := h.Publish(t.Context(), message(7), event("ord-1"), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Replay(t.Context(), message(9), "ord-1", seq+10); !errors.Is(err, task.ErrNoEvent) {
		t.Errorf("gone: got %v, want ErrNoEvent", err)
	}
	if err := h.Replay(t.Context(), message(9), "ord-2", seq); !errors.Is(err, task.ErrNoEvent) {
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
		_, seq, err := h.Publish(t.Context(), message(uint64(size)), ev, false)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(h.get(seq).Data), "result_ref") {
			break
		}
		last = seq
	}
	if err := h.Replay(t.Context(), message(99999), h.get(last).Header.Get("ce-subject"), last); err != nil {
		t.Fatal(err)
	}
	if got := h.get(last + 2); got.Header.Get("Capstan-Replay") != "true" || !strings.Contains(string(got.Data), "result_ref") {
		t.Errorf("got %s, %v, want a replay with a reference", got.Data, got.Header)
	}
}
