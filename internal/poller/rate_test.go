package poller_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestCallsAtOnceAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan struct{}, 1000)
		p := newPoller(func(ctx context.Context, id string) (task.Workflow, error) {
			calls <- struct{}{}
			return hanging(ctx, id)
		}, rate.Inf)
		var wg sync.WaitGroup
		defer wg.Wait()
		for range 300 {
			wg.Go(func() { wait(t, p, fresh(time.Minute)) })
		}
		<-time.After(time.Minute / 2)
		synctest.Wait()
		if got := len(calls); got != 128 {
			t.Errorf("got %d calls at once, want 128", got)
		}
	})
}

func TestWaitsThatEndWithoutATokenReleaseTheirSlots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := rate.NewLimiter(rate.Every(time.Hour), 1)
		p := limited(api(running), limit)
		var wg sync.WaitGroup
		for range 300 {
			wg.Go(func() { wait(t, p, fresh(time.Minute)) })
		}
		wg.Wait()
		limit.SetLimit(rate.Inf)
		if got := wait(t, p, fresh(time.Minute)).Polls; got < 10 {
			t.Errorf("got %d polls, want at least 10", got)
		}
	})
}

func TestNoWaitStarvesWhenTheRateIsTooLow(t *testing.T) {
	t.Parallel()
	const workflows, perSecond = 10_000, 500
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		calls := make(map[string]int)
		var atOnce, most, total int
		p := newPoller(func(_ context.Context, id string) (task.Workflow, error) {
			mu.Lock()
			calls[id]++
			total++
			atOnce++
			most = max(most, atOnce)
			mu.Unlock()
			<-time.After(50 * time.Millisecond)
			mu.Lock()
			atOnce--
			mu.Unlock()
			return task.Workflow{Status: "RUNNING"}, nil
		}, perSecond)
		var wg sync.WaitGroup
		for i := range workflows {
			w := fresh(45 * time.Second)
			w.WorkflowID = fmt.Sprint(i)
			wg.Go(func() { wait(t, p, w) })
		}
		wg.Wait()
		if total > 45*perSecond+1 || total < 40*perSecond {
			t.Errorf("got %d calls in 45 s, want the rate of %d a second used and kept", total, perSecond)
		}
		if most > 128 {
			t.Errorf("got %d calls at once, want at most 128", most)
		}
		for i := range workflows {
			if got := calls[fmt.Sprint(i)]; got < 2 || got > 3 {
				t.Errorf("workflow %d: got %d polls, want its share, 2 or 3", i, got)
			}
		}
	})
}

// Submissions wait for the same rate, one at a time, however many polls are due.
func TestSubmissionsGetEveryOtherToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := rate.NewLimiter(100, 1)
		p := limited(api(running), limit)
		var wg sync.WaitGroup
		for range 2500 {
			wg.Go(func() { wait(t, p, fresh(time.Minute)) })
		}
		<-time.After(10 * time.Second) // all are due by then
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		submissions := 0
		for limit.Wait(ctx) == nil {
			submissions++
		}
		if submissions < 490 || submissions > 510 {
			t.Errorf("got %d submissions of 1000 tokens, want half", submissions)
		}
		wg.Wait()
	})
}
