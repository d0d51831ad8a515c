package poller_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestPauseKeepsAllPollsBack(t *testing.T) {
	for _, code := range []int{401, 402, 403, 429, 503} {
		synctest.Test(t, func(t *testing.T) {
			var calls []time.Time
			refusal := &task.StatusError{HTTPStatus: code, RetryAfter: time.Minute}
			p := newPoller(noted(&calls, script(refusal)), rate.Inf)
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					if ending := wait(t, p, resumed(time.Hour, 75*time.Second)); ending.Polls == 0 {
						t.Errorf("%d: got no poll, want at least the last look", code)
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
		wantBetween(t, "next poll", <-after, 4*time.Second, 6*time.Second)
	})
}

func TestDeadlineIsExactWhilePollsArePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := newPoller(script(&task.StatusError{HTTPStatus: 402, RetryAfter: time.Hour}), rate.Inf)
		ending := wait(t, p, fresh(time.Minute))
		if got := time.Since(start); !ending.TimedOut || got != time.Minute {
			t.Errorf("got %+v after %v, want a time-out after 1m", ending, got)
		}
	})
}

func TestPollsUnderWayWhenAPauseBeganDoNotEndItButCanMakeItLonger(t *testing.T) {
	tests := map[string]struct {
		second error
		want   time.Duration // from the answer to the second poll
	}{
		"answered":       {nil, 29 * time.Second},
		"earlier moment": {&task.StatusError{HTTPStatus: 429, RetryAfter: time.Second}, 29 * time.Second},
		"later moment":   {&task.StatusError{HTTPStatus: 429, RetryAfter: time.Minute}, time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls []time.Time
				answers := script(&task.StatusError{HTTPStatus: 429, RetryAfter: 30 * time.Second}, tt.second)
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
	for _, late := range []time.Duration{10 * time.Second, 30 * time.Second} { // during the pause, and after
		synctest.Test(t, func(t *testing.T) {
			var calls []time.Time
			second := &task.StatusError{HTTPStatus: 429, RetryAfter: time.Second}
			hour := &task.StatusError{HTTPStatus: 429, RetryAfter: time.Hour}
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
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		refusal := &task.StatusError{HTTPStatus: 429, RetryAfter: 10 * time.Minute}
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
	synctest.Test(t, func(t *testing.T) {
		limit := rate.NewLimiter(rate.Every(1000*time.Hour), 10)
		p := limited(script(&task.StatusError{HTTPStatus: 429, RetryAfter: time.Hour}), limit)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { wait(t, p, resumed(time.Hour, time.Minute)) })
		}
		<-time.After(50 * time.Second) // the last looks leave all the same
		if got := limit.Tokens(); got < 9 {
			t.Errorf("got %v tokens left of 10, want 9: one was used", got)
		}
		wg.Wait()
	})
}

func TestLastLookLeavesThoughPollsArePaused(t *testing.T) {
	for _, code := range []int{401, 402, 403, 407, 429, 503, 529} {
		synctest.Test(t, func(t *testing.T) {
			const tasks = 20
			start := time.Now()
			p := newPoller(func(context.Context, string) (task.Workflow, error) {
				if time.Since(start) < 10*time.Second {
					return task.Workflow{}, &task.StatusError{HTTPStatus: code, RetryAfter: time.Hour}
				}
				return task.Workflow{Status: "COMPLETED"}, nil
			}, rate.Inf)
			var wg sync.WaitGroup
			for range tasks {
				wg.Go(func() {
					if ending := wait(t, p, fresh(30*time.Second)); ending.TimedOut {
						t.Errorf("%d: got %+v, want it completed", code, ending)
					}
				})
			}
			wg.Wait()
			wantBetween(t, "the last look", time.Since(start), 29*time.Second, 30*time.Second)
		})
	}
}

// One answer must not stop all polls for an hour.
func TestPausedPollsProbeOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		hour := &task.StatusError{HTTPStatus: 429, RetryAfter: time.Hour}
		p := newPoller(noted(&calls, script(slices.Repeat([]error{hour}, 5)...)), rate.Inf)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { wait(t, p, fresh(20*time.Minute)) })
			if i == 0 { // the others follow when the breaker is open
				<-time.After(3 * time.Second)
			}
		}
		wg.Wait()
		for i := range 5 {
			if got := calls[i+1].Sub(calls[i]); got != time.Minute {
				t.Errorf("got probe %d after %v, want one a minute", i+1, got)
			}
		}
	})
}

// A probe that nobody answers keeps no other poll from being the next.
func TestProbeThatTellsNothingPassesItsRightOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		p := newPoller(noted(&calls, script(&task.StatusError{HTTPStatus: 429, RetryAfter: 20 * time.Second}, status(502), &task.StatusError{}, nil)), rate.Inf)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { wait(t, p, fresh(time.Minute)) })
			if i == 0 { // the others follow when the breaker is open
				<-time.After(3 * time.Second)
			}
		}
		wg.Wait()
		if got := calls[3].Sub(calls[1]); got != 0 {
			t.Errorf("got the third probe %v after the first, want it at once", got)
		}
	})
}

func TestChangedKeyEndsAPauseForTheKeyAtOnce(t *testing.T) {
	for code, ends := range map[int]bool{401: true, 402: true, 403: true, 429: false, 503: false} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			p := newPoller(func(ctx context.Context, id string) (task.Workflow, error) {
				if calls.Add(1) == 1 {
					return task.Workflow{}, &task.StatusError{HTTPStatus: code, RetryAfter: 50 * time.Second}
				}
				return running(ctx, id)
			}, rate.Inf)
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() { wait(t, p, fresh(80*time.Second)) })
			<-time.After(5 * time.Second)
			p.KeyChanged()
			synctest.Wait()
			if got := calls.Load() == 2; got != ends {
				t.Errorf("%d: got %d calls after the key has changed, want the pause to end: %v", code, calls.Load(), ends)
			}
		})
	}
}

func TestPauseIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		var out bytes.Buffer
		answers := script(status(401), &task.StatusError{HTTPStatus: 401, RetryAfter: time.Minute, Message: "secret"}, nil)
		p := poller.New(poller.Config{Interval: interval, MaxInterval: maxInterval}, answers, plenty(),
			rate.NewLimiter(rate.Inf, 1), reg, zerolog.New(&out))
		go wait(t, p, fresh(2*time.Minute))
		<-time.After(30 * time.Second)
		synctest.Wait()
		wantMetrics(t, reg, 1, 1)
		<-time.After(60 * time.Second)
		synctest.Wait()
		wantMetrics(t, reg, 0, 1)
		<-time.After(60 * time.Second)
		synctest.Wait()
		wantMetrics(t, reg, 0, 0)

		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, `{"level":"debug"`) })
		if len(lines) != 2 || !strings.Contains(lines[0], `"warn"`) || !strings.Contains(lines[1], `"info"`) {
			t.Errorf("got lines\n%s\nwant one that polls are paused and one that they resumed", strings.Join(lines, "\n"))
		}
		if strings.Contains(out.String(), "secret") {
			t.Errorf("the API's message was logged:\n%s", out.String())
		}
	})
}

func wantMetrics(t *testing.T, reg prometheus.Gatherer, held, waiting int) {
	t.Helper()
	want := fmt.Sprintf(`
# HELP capstan_polls_held Whether the API wants no status calls now.
# TYPE capstan_polls_held gauge
capstan_polls_held %d
# HELP capstan_polls_in_flight Status calls under way.
# TYPE capstan_polls_in_flight gauge
capstan_polls_in_flight 0
# HELP capstan_waiting_workflows Workflows whose end is waited for.
# TYPE capstan_waiting_workflows gauge
capstan_waiting_workflows %d
`, held, waiting)
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "capstan_polls_held", "capstan_polls_in_flight", "capstan_waiting_workflows"); err != nil {
		t.Error(err)
	}
}
