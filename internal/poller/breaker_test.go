package poller_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestPauseKeepsAllPollsBack(t *testing.T) {
	t.Parallel()
	for _, code := range []int{401, 402, 403, 429, 503} {
		synctest.Test(t, func(t *testing.T) {
			var calls []time.Time
			refusal := refusal(code, time.Minute)
			p := newPoller(noted(&calls, script(refusal)), rate.Inf)
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if outcome := wait(t, p, resumed(time.Hour, 75*time.Second)); outcome.Polls == 0 {
						t.Errorf("%d: got no poll, want at least the last poll", code)
					}
				})
			}
			wg.Wait()
			if got := calls[1].Sub(calls[0]); got < time.Minute {
				t.Errorf("%d: got a pause of %v, want 1m", code, got)
			}
			// A poll comes back within one interval of its workflow, so that the rate is the usual one.
			if got := calls[100].Sub(calls[1]); got < maxInterval/2 {
				t.Errorf("%d: polls came back within %v, want them spread over %v", code, got, maxInterval)
			}
		})
	}
}

func TestPausesGrowAndStartOverAfterAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		answers := append(slices.Repeat([]error{status(429)}, 10), nil, status(429))
		wait(t, newPoller(noted(&calls, script(answers...)), rate.Inf), fresh(time.Hour))
		// A poll comes back within one interval of its workflow after the pause: 15 s at most.
		wantBetween(t, "tenth pause", calls[10].Sub(calls[9]), 48*time.Second, 72*time.Second+maxInterval*11/10)
		wantBetween(t, "pause after an answer", calls[12].Sub(calls[11]), 0, time.Second*12/10+maxInterval*11/10)
	})
}

func TestPollsUnderWayWhenAPauseBeganDoNotMakeItGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		after := make(chan time.Duration, 1000)
		p := newPoller(func(ctx context.Context, id string) (task.Workflow, error) {
			if ran := time.Since(start); ran > 3*time.Second {
				after <- ran
				return running(ctx, id)
			}
			<-time.After(time.Until(start.Add(3 * time.Second)))
			return task.Workflow{}, status(429)
		}, rate.Inf)
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { wait(t, p, fresh(20*time.Second)) })
		}
		wg.Wait()
		wantBetween(t, "next poll", <-after, 3800*time.Millisecond, 6*time.Second)
	})
}

func TestDeadlineIsExactWhilePollsArePaused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := newPoller(script(refusal(402, time.Hour)), rate.Inf)
		outcome := wait(t, p, fresh(time.Minute))
		if got := time.Since(start); !outcome.TimedOut || got != time.Minute {
			t.Errorf("got %+v after %v, want a time-out after 1m", outcome, got)
		}
	})
}

func TestPollsUnderWayWhenAPauseBeganDoNotEndItButCanMakeItLonger(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		second error
		want   time.Duration // from the answer to the second poll
	}{
		"answered":       {nil, 29 * time.Second},
		"earlier moment": {refusal(429, time.Second), 29 * time.Second},
		"later moment":   {refusal(429, time.Minute), time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls []time.Time
				answers := script(refusal(429, 30*time.Second), tt.second)
				p := newPoller(noted(&calls, func(ctx context.Context, id string) (task.Workflow, error) {
					<-time.After(map[string]time.Duration{"first": 2 * time.Second, "second": 3 * time.Second}[id])
					return answers(ctx, id)
				}), rate.Inf)
				start := time.Now()
				var wg sync.WaitGroup
				for _, id := range []string{"first", "second"} {
					w := resumed(0, 2*time.Minute)
					w.WorkflowID = id
					wg.Go(func() { wait(t, p, w) })
				}
				wg.Wait()
				// Both leave in the first second, and come back within an interval of a workflow this young.
				wantBetween(t, "next poll", calls[2].Sub(start), tt.want+2*time.Second, tt.want+25*time.Second)
			})
		})
	}
}

func TestPauseIsForgottenWhenItEnds(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{10 * time.Second, 30 * time.Second} { // during the pause, and after
		synctest.Test(t, func(t *testing.T) {
			var calls []time.Time
			second := refusal(429, time.Second)
			hour := refusal(429, time.Hour)
			slow, fast := script(hour), noted(&calls, script(second, nil, nil, nil, nil, nil, nil, nil, nil, second))
			p := newPoller(func(ctx context.Context, id string) (task.Workflow, error) {
				if id == "slow" {
					<-time.After(late)
					return slow(ctx, id)
				}
				workflow, err := fast(ctx, id)
				if err == nil {
					<-time.After(10 * time.Second)
				}
				return workflow, err
			}, rate.Inf)
			var wg sync.WaitGroup
			for _, id := range []string{"slow", "fast"} {
				w := resumed(0, 2*time.Hour)
				w.WorkflowID = id
				wg.Go(func() { wait(t, p, w) })
				<-time.After(time.Second)
			}
			wg.Wait()
			wantBetween(t, "last pause", calls[10].Sub(calls[9]), time.Second, time.Minute)
		})
	}
}

func TestPollThatWaitsForItsTokenIsPausedToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		refusal := refusal(429, 10*time.Minute)
		answers := script(refusal)
		p := newPoller(noted(&calls, func(ctx context.Context, id string) (task.Workflow, error) {
			<-time.After(5 * time.Second) // while the others queue
			return answers(ctx, id)
		}), rate.Every(10*time.Second))
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { wait(t, p, fresh(20*time.Minute)) })
		}
		wg.Wait()
		if got := calls[1].Sub(calls[0]); got < time.Minute {
			t.Errorf("got a pause of %v, want 1m", got)
		}
	})
}

func TestPausedPollsTakeNoTokens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		limit := rate.NewLimiter(rate.Every(1000*time.Hour), 10)
		p := limited(script(refusal(429, time.Hour)), limit)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { wait(t, p, resumed(time.Hour, time.Minute)) })
		}
		<-time.After(50 * time.Second) // before the last polls, which leave even so
		if got := limit.Tokens(); got < 9 {
			t.Errorf("got %v tokens left of 10, want 9: one was used", got)
		}
		wg.Wait()
	})
}

func TestLastPollLeavesThoughPollsArePaused(t *testing.T) {
	t.Parallel()
	for _, code := range []int{401, 402, 403, 407, 429, 503, 529} {
		synctest.Test(t, func(t *testing.T) {
			const tasks = 20
			start := time.Now()
			p := newPoller(func(context.Context, string) (task.Workflow, error) {
				if time.Since(start) < 10*time.Second {
					return task.Workflow{}, refusal(code, time.Hour)
				}
				return task.Workflow{Status: "COMPLETED"}, nil
			}, rate.Inf)
			var wg sync.WaitGroup
			for range tasks {
				wg.Go(func() {
					if outcome := wait(t, p, fresh(30*time.Second)); outcome.TimedOut {
						t.Errorf("%d: got %+v, want it completed", code, outcome)
					}
				})
			}
			wg.Wait()
			wantBetween(t, "the last poll", time.Since(start), 29*time.Second, 30*time.Second)
		})
	}
}
