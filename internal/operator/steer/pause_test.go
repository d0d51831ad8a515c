package steer_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAPauseLastsUntilItIsResumed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first := task.Pause{Reason: "maintenance", By: "ada"}
	second := task.Pause{By: "bob", Until: time.Now().Add(time.Hour).UTC().Truncate(time.Second)}
	if before, err := steer.Pause(t.Context(), s.Queue, first); err != nil || before != nil {
		t.Errorf("got %v, %v, want no pause before", before, err)
	}
	if got, want := s.marks()["pause"], `{"reason":"maintenance","by":"ada"} 168h0m0s`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if before, err := steer.Pause(t.Context(), s.Queue, second); err != nil || !reflect.DeepEqual(before, &first) {
		t.Errorf("got %v, %v, want the first pause", before, err)
	}
	// The key outlives the pause by a minute.
	if got := s.marks()["pause"]; !strings.Contains(got, second.Until.Format(time.RFC3339)) || !strings.Contains(got, " 1h0m") && !strings.Contains(got, " 1h1m") {
		t.Errorf("got %s, want it to expire after its end", got)
	}
	if got, err := steer.Resume(t.Context(), s.Queue); err != nil || !reflect.DeepEqual(got, &second) {
		t.Errorf("got %v, %v, want the second pause", got, err)
	}
	kv, err := s.JS.KeyValue(t.Context(), "task_control")
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := kv.Get(t.Context(), "pause"); err == nil {
		t.Errorf("got %s, want the key to be deleted", entry.Value())
	}
	if got, err := steer.Resume(t.Context(), s.Queue); err != nil || got != nil {
		t.Errorf("again: got %v, %v, want no pause", got, err)
	}
}

func TestAPauseEndsInTheNearFuture(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{-time.Hour, "must end later than now"}, {169 * time.Hour, "must end within 168h0m0s, which is TRACKER_TTL"}} {
		if _, err := steer.Pause(t.Context(), s.Queue, task.Pause{Until: time.Now().Add(c.after)}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.after, err, c.want)
		}
	}
	until, err := steer.PauseUntil(t.Context(), s.Queue, 2*time.Hour)
	if err != nil || time.Until(until) > 2*time.Hour || time.Until(until) < 119*time.Minute {
		t.Errorf("got %v, %v, want two hours from now", until, err)
	}
	if got := s.marks(); len(got) != 0 {
		t.Errorf("got %v, want no pause", got)
	}
}

func TestAPauseThatHasEndedIsNone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	kv, err := s.JS.KeyValue(t.Context(), "task_control")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), "pause", `{"until":"2020-01-02T03:04:05Z"}`); err != nil {
		t.Fatal(err)
	}
	if got, err := steer.Resume(t.Context(), s.Queue); err != nil || got != nil {
		t.Errorf("got %v, %v, want none", got, err)
	}
	if _, err := kv.PutString(t.Context(), "pause", "by hand"); err != nil {
		t.Fatal(err)
	}
	if got, err := steer.Resume(t.Context(), s.Queue); err != nil || got == nil || got.Reason != "by hand" {
		t.Errorf("got %v, %v, want the pause by hand", got, err)
	}
}
