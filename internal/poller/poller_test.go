package poller_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestIntervalsGrowWithTheTimeTheWorkflowHasRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		start := time.Now()
		outcome := wait(t, newPoller(noted(&calls, running), rate.Inf), fresh(10*time.Minute))
		last := start
		for _, call := range calls[:len(calls)-1] { // the last poll is due before the deadline
			steady := min(max(last.Sub(start)/5, interval), maxInterval)
			wantBetween(t, "interval", call.Sub(last), max(interval, steady*9/10), steady*11/10+1)
			last = call
		}
		if got := outcome.Polls; got != len(calls) || got < 40 {
			t.Errorf("got %d polls of %d calls, want all of at least 40", got, len(calls))
		}
	})
}

func TestAnEndIsDetectedWithinAnInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(50 * time.Second)
		p := newPoller(func(context.Context, string) (task.Workflow, error) {
			if time.Now().Before(end) {
				return task.Workflow{Status: "RUNNING"}, nil
			}
			return task.Workflow{Status: "COMPLETED", Result: []byte(`"yes"`)}, nil
		}, rate.Inf)
		outcome := wait(t, p, fresh(time.Hour))
		if outcome.Status != "COMPLETED" || string(outcome.Result) != `"yes"` || outcome.TimedOut || outcome.Lost {
			t.Errorf("got %+v, want a completed workflow with its result", outcome)
		}
		late := time.Since(end)
		wantBetween(t, "detection delay", outcome.DetectionDelay, late, 11*time.Second)
	})
}

func TestAWorkflowInAnUnknownStateIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPoller(func(context.Context, string) (task.Workflow, error) {
			return task.Workflow{Status: "QUEUED"}, nil
		}, rate.Inf)
		outcome := wait(t, p, fresh(time.Minute))
		if !outcome.TimedOut || outcome.Status != "QUEUED" {
			t.Errorf("got %+v, want a time-out in state QUEUED", outcome)
		}
	})
}

func TestFirstPollsOfResumedWaitsAreSpread(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		waits int
		over  time.Duration
	}{
		"a few":               {100, time.Second},
		"a worker's tasks":    {1000, 4 * time.Second},
		"many workers' tasks": {6000, maxInterval},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				calls := make(chan time.Duration, tt.waits)
				p := newPoller(func(context.Context, string) (task.Workflow, error) {
					calls <- time.Since(start)
					return task.Workflow{Status: "COMPLETED"}, nil
				}, rate.Inf)
				for range tt.waits {
					go wait(t, p, resumed(time.Hour, time.Hour))
				}
				var inFirstHalf int
				for range tt.waits {
					call := <-calls
					wantBetween(t, "first poll", call, 0, tt.over+time.Second)
					if call < tt.over/2 {
						inFirstHalf++
					}
				}
				if inFirstHalf < tt.waits*3/10 || inFirstHalf > tt.waits*7/10 {
					t.Errorf("got %d of %d first polls in the first half of %v, want about half", inFirstHalf, tt.waits, tt.over)
				}
			})
		})
	}
}

// A takeover of many tasks does not delay the first polls of later takeovers.
func TestASpreadDoesNotDelayALaterTakeover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPoller(func(context.Context, string) (task.Workflow, error) {
			return task.Workflow{Status: "COMPLETED"}, nil
		}, rate.Inf)
		var all sync.WaitGroup
		for range 6000 {
			all.Go(func() { wait(t, p, resumed(time.Hour, time.Hour)) })
		}
		all.Wait()
		<-time.After(2 * time.Second)
		start := time.Now()
		wait(t, p, resumed(time.Hour, time.Hour))
		wantBetween(t, "first poll", time.Since(start), 0, time.Second)
	})
}

func TestDeadlineIsExactWhileTheAPIHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		outcome := wait(t, newPoller(hanging, rate.Inf), fresh(time.Minute))
		if got := time.Since(start); !outcome.TimedOut || got != time.Minute {
			t.Errorf("got %+v after %v, want a time-out after 1m", outcome, got)
		}
		if outcome.Polls != 0 {
			t.Errorf("got %d polls, want none answered", outcome.Polls)
		}
	})
}

func TestDeadlineIsExactWhileNoSlotAndNoTokenIsFree(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer api
		limit  rate.Limit
	}{
		"no slot":  {hanging, rate.Inf},
		"no token": {running, rate.Every(time.Hour)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				p := newPoller(tt.answer, tt.limit)
				var wg sync.WaitGroup
				defer wg.Wait()
				for range 300 {
					wg.Go(func() { wait(t, p, fresh(time.Hour/2)) })
				}
				<-time.After(10 * time.Second)
				outcome := wait(t, p, fresh(time.Minute))
				if got := time.Since(start); !outcome.TimedOut || got != 70*time.Second {
					t.Errorf("got %+v after %v, want a time-out after 70s", outcome, got)
				}
			})
		})
	}
}

func TestTheLastPollFindsAnEndShortlyBeforeTheDeadline(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{500 * time.Millisecond, 5 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := fresh(timeout)
			lead := min(time.Second, timeout/10)
			p := newPoller(func(context.Context, string) (task.Workflow, error) {
				if time.Until(w.Deadline) > lead {
					return task.Workflow{Status: "RUNNING"}, nil
				}
				return task.Workflow{Status: "COMPLETED"}, nil
			}, rate.Inf)
			outcome := wait(t, p, w)
			if outcome.TimedOut || outcome.Status != "COMPLETED" {
				t.Errorf("timeout %v: got %+v, want it completed", timeout, outcome)
			}
		})
	}
}

func TestAResumedWaitPollsOnceThoughItsDeadlineHasPassed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer  api
		timeOut bool
		within  time.Duration
	}{
		"ended":   {func(context.Context, string) (task.Workflow, error) { return task.Workflow{Status: "FAILED"}, nil }, false, 0},
		"running": {running, true, 0},
		"hanging": {hanging, true, 5 * time.Second},
		"down":    {script(status(502)), true, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls []time.Time
				start := time.Now()
				outcome := wait(t, newPoller(noted(&calls, tt.answer), rate.Inf), resumed(time.Hour, -time.Minute))
				if outcome.TimedOut != tt.timeOut || len(calls) != 1 {
					t.Errorf("got %+v after %d calls, want timed out: %v after 1", outcome, len(calls), tt.timeOut)
				}
				if got := time.Since(start); got != tt.within {
					t.Errorf("took %v, want %v", got, tt.within)
				}
			})
		})
	}
}

func TestEndOfContextEndsTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		outcome, err := newPoller(running, rate.Inf).Wait(ctx, fresh(time.Hour))
		if !errors.Is(err, context.DeadlineExceeded) || outcome.Polls != 2 || outcome.TimedOut {
			t.Errorf("got %+v and %v, want 2 polls and %v", outcome, err, context.DeadlineExceeded)
		}
	})
}
