package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/control"
)

func TestAPauseIsToldAndEndsWithItsKey(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.put("pause", `{"reason":"maintenance","by":"ada","until":"2999-01-02T06:00:00Z"}`)
	s.run()
	s.Canceled(t.Context(), "a", "")
	if got, paused := s.Paused(); !paused || got.By != "ada" {
		t.Errorf("got %+v, %v, want the pause to be known with the first look", got, paused)
	}
	s.tells("paused by ada until 2999-01-02T06:00:00Z: maintenance")
	if got := s.metric("capstan_operator_pause"); got != 1 {
		t.Errorf("got the metric %v, want 1", got)
	}
	s.put("pause", `{"reason":"maintenance","by":"ada","until":"2999-01-02T06:00:00Z"}`) // tells nothing new
	began := time.Now()
	s.put("pause", "a wrong page") // takes its place
	s.tells("paused: a wrong page")
	if took := time.Since(began); took > time.Second {
		t.Errorf("got the change after %v, want it within a second", took)
	}
	if err := s.kv.Delete(t.Context(), "pause"); err != nil {
		t.Fatal(err)
	}
	s.tells("resumed")
	s.put("pause", "")
	s.tells("paused")
	if err := s.kv.Purge(t.Context(), "pause"); err != nil {
		t.Fatal(err)
	}
	s.tells("resumed")
	if _, paused := s.Paused(); paused || s.metric("capstan_operator_pause") != 0 {
		t.Error("got a pause after its end")
	}
	s.logged("submissions paused by operator", 3)
	s.logged("submissions resumed", 2)
	s.logged(`"reason":"maintenance","by":"ada","until":"2999-01-02T06:00:00Z"`, 1)
}

// A pause ends by itself: at its time, and TRACKER_TTL after it was written.
func TestAPauseEndsOnTime(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.run()
	s.put("pause", fmt.Sprintf(`{"until":%q}`, time.Now().Add(500*time.Millisecond).Format(time.RFC3339Nano)))
	if got := <-s.told; !strings.HasPrefix(got, "paused until") {
		t.Errorf("got %q", got)
	}
	s.tells("resumed")
	s.put("pause", fmt.Sprintf(`{"until":%q}`, time.Now().Add(-time.Second).Format(time.RFC3339Nano)))
	s.put("pause", "again") // the one that was over at once is not told
	s.tells("paused: again")
	s.sets(time.Hour)
	s.put("pause", "too old by now") // is told as the end of the one before
	s.tells("resumed")
}

func TestAPauseEndsWithTheTTLOfItsKey(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.run()
	if _, err := s.kv.Create(t.Context(), "pause", []byte("x"), jetstream.KeyTTL(time.Second)); err != nil {
		t.Fatal(err)
	}
	s.tells("paused: x")
	s.tells("resumed")
}

// A watch is told nothing of a message that is removed from the stream.
func TestAPauseEndsWhenItsMessageIsRemoved(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.run()
	s.put("pause", "x")
	s.tells("paused: x")
	stream, err := s.js.Stream(t.Context(), names.Stream())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject("$KV.task_control.pause")); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.tells("resumed")
	if took := time.Since(began); took > 2*control.PauseCheck {
		t.Errorf("got the end after %v, want it within %v", took, control.PauseCheck)
	}
}

func TestAPauseIsNoticedSoonAfterTheWatchHasEnded(t *testing.T) {
	t.Parallel()
	s := newSteered(t, time.Hour)
	s.run()
	s.put("cancel.a", "")
	s.eventually("a", "", true)
	s.Note(nats.ErrMaxSubscriptionsExceeded) // there is no watch for five minutes
	s.logged("NATS allows no more subscriptions", 1)
	began := time.Now()
	s.put("pause", "x")
	s.tells("paused: x")
	if took := time.Since(began); took > 2*control.PauseCheck {
		t.Errorf("got the pause after %v, want it within %v", took, control.PauseCheck)
	}
}
