package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/redrive"
	"github.com/capstan-worker/capstan/internal/operator/send"
)

func TestARedriveKeepsToItsRate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range 6 {
		s.fail(fmt.Sprintf("ord-%d", i), "timeout")
	}
	began := time.Now()
	counts, err := s.plan(anyTask).Send(t.Context(), 20, nil)
	if took := time.Since(began); err != nil || counts.Stored != 6 || took < 200*time.Millisecond {
		t.Errorf("got %+v, %v after %v, want 6 after 250 ms", counts, err, took)
	}
}

func TestAnInterruptedRedriveContinues(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range 5 {
		s.fail(fmt.Sprintf("ord-%d", i), "timeout")
	}
	ctx, interrupt := context.WithCancel(t.Context())
	counts, err := s.plan(anyTask).Send(ctx, 0.5, func(int, int) { interrupt() })
	if !errors.Is(err, context.Canceled) || counts.Stored != 1 || counts.Unsent != 4 {
		t.Errorf("got %+v, %v, want one stored", counts, err)
	}
	if counts, err = s.plan(anyTask).Send(t.Context(), 0, nil); err != nil || counts.Stored != 4 {
		t.Errorf("again: got %+v, %v, want the other 4", counts, err)
	}
	if got := len(s.StoredRequests()); got != 5 {
		t.Errorf("got %d requests, want 5", got)
	}
}

// Two people may redrive the same tasks at once.
func TestTwoRedrivesAtOnceSendEachTaskOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fail("a", "timeout")
	one, two := s.plan(anyTask), s.plan(anyTask)
	for _, c := range []struct {
		plan *redrive.Plan
		want send.Counts
	}{{one, send.Counts{All: 1, Stored: 1}}, {two, send.Counts{All: 1, Before: 1}}} {
		if got, err := c.plan.Send(t.Context(), 0, nil); err != nil || got != c.want {
			t.Errorf("got %+v, %v, want %+v", got, err, c.want)
		}
	}
}

func TestALetterThatIsGoneStopsTheRedrive(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fail("a", "timeout")
	plan := s.plan(anyTask)
	stream, err := s.JS.Stream(t.Context(), "TASK_DEAD")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	counts, err := plan.Send(t.Context(), 0, nil)
	if err == nil || !strings.Contains(err.Error(), "read the dead letter of task a") || counts.Unsent != 1 {
		t.Errorf("got %+v, %v, want that the letter is gone", counts, err)
	}
}
