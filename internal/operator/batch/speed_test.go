package batch_test

import (
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator/send"
)

func TestFiftyThousandTasksAreSubmittedInFifteenSeconds(t *testing.T) {
	t.Parallel()
	if testing.Short() || natstest.RaceDetector {
		t.Skip("it measures time")
	}
	const many, most = 50_000, 15 * time.Second
	s := newSite(t)
	began := time.Now()
	got := s.send(s.read("night.jsonl", lines(many), "night"))
	if took, want := time.Since(began), (send.Counts{All: many, Stored: many}); got != want || took > most {
		t.Errorf("got %+v after %v, want %+v within %v", got, took, want, most)
	}
}
