package session_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/session"
	"github.com/capstan-worker/capstan/internal/task"
)

// changingAPI has a session whose steps change with the time since the beginning.
type changingAPI struct {
	slowAPI
	began time.Time
	steps func(since time.Duration) *int
}

func (a *changingAPI) Session(ctx context.Context, id string) (task.Session, error) {
	return task.Session{ID: id, Status: "completed", Steps: a.steps(time.Since(a.began))}, a.call(ctx)
}

// Figures count once they have been the same for 15 seconds.
func TestAFenceWaitsUntilTheFiguresStayTheSame(t *testing.T) {
	const second, longestWait = time.Second, 6 * time.Second // between two looks
	for name, c := range map[string]struct {
		steps func(time.Duration) *int
		final bool
		want  int
		after time.Duration // it takes at least so long
	}{
		"no step":              {func(time.Duration) *int { return new(0) }, true, 0, 15 * second},
		"back and forth":       {func(since time.Duration) *int { return new(int(since / (10 * second) % 2)) }, false, 0, 45 * second},
		"steps come late":      {func(since time.Duration) *int { return new(min(int(since/(5*second)), 3)) }, true, 3, 30 * second},
		"known after 15s":      {func(since time.Duration) *int { return known(since > 15*second) }, true, 0, 30 * second},
		"unknown between them": {func(since time.Duration) *int { return known(since < 8*second || since > 15*second) }, true, 0, 30 * second},
		"steps disappear":      {func(since time.Duration) *int { return new(max(0, 3-int(since/second))) }, true, 3, 15 * second},
		"known too late":       {func(since time.Duration) *int { return known(since > 35*second) }, false, 0, 45 * second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &changingAPI{began: time.Now(), steps: c.steps}
				s := session.New(api, session.DefaultWaits(), rate.NewLimiter(rate.Inf, 0), zerolog.Nop())
				end, err := s.Fence(t.Context(), "s")
				took := time.Since(api.began)
				if err != nil || end.Final != c.final || c.final && steps(end) != c.want || took < c.after || took > c.after+2*longestWait {
					t.Errorf("got %d steps, final %v, %v after %v, want %d, final %v after %v", steps(end), end.Final, err, took, c.want, c.final, c.after)
				}
			})
		})
	}
}

// lateAPI answers its second look so late that its first steps, which it did not see, show in the third.
type lateAPI struct {
	slowAPI
	looks atomic.Int32
}

func (a *lateAPI) Session(ctx context.Context, id string) (task.Session, error) {
	steps, look := 0, a.looks.Add(1)
	if look > 3 {
		steps = 2
	}
	if look == 3 {
		<-time.After(20 * time.Second) // of fake time
	}
	return task.Session{ID: id, Status: "completed", Steps: &steps}, a.call(ctx)
}

// An answer is as old as its question: one that took long does not show that the figures stayed the same.
func TestASlowAnswerDoesNotEndAFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(&lateAPI{}, session.DefaultWaits(), rate.NewLimiter(rate.Inf, 0), zerolog.Nop())
		end, err := s.Fence(t.Context(), "s")
		if err != nil || !end.Final || steps(end) != 2 {
			t.Errorf("got %d steps, final %v, %v, want two that are final", steps(end), end.Final, err)
		}
	})
}

// known is no step, or nil.
func known(isKnown bool) *int {
	if isKnown {
		return new(0)
	}
	return nil
}

// All calls that may be under way at once hang. A task that is told to stop does not wait for them.
func TestTheEndOfTheContextEndsTheWaitForACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := session.New(&slowAPI{takes: time.Hour}, session.DefaultWaits(), rate.NewLimiter(rate.Inf, 0), zerolog.Nop())
		var others sync.WaitGroup
		for range 32 {
			others.Go(func() { _, _ = s.End(t.Context(), "s") })
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := s.End(ctx, "s"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("got %v after %v, want the end of the context after 1s", err, time.Since(began))
		}
		others.Wait()
	})
}
