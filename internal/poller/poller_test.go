package poller_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	interval    = 2 * time.Second
	maxInterval = 15 * time.Second
)

// api answers as the function says.
type api func(ctx context.Context, workflowID string) (task.Workflow, error)

func (f api) Status(ctx context.Context, workflowID string, _ int64) (task.Workflow, error) {
	ctx, cancel := context.WithTimeout(ctx, f.Timeout())
	defer cancel()
	return f(ctx, workflowID)
}

func (api) Timeout() time.Duration { return 30 * time.Second }

func running(context.Context, string) (task.Workflow, error) {
	return task.Workflow{Status: "RUNNING"}, nil
}

func hanging(ctx context.Context, _ string) (task.Workflow, error) {
	<-ctx.Done()
	return task.Workflow{}, &task.StatusError{Message: ctx.Err().Error()}
}

// script answers one after the other, then as running.
func script(answers ...error) api {
	var mu sync.Mutex
	return func(ctx context.Context, id string) (task.Workflow, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(answers) == 0 {
			return running(ctx, id)
		}
		err := answers[0]
		answers = answers[1:]
		if err != nil {
			return task.Workflow{}, err
		}
		return running(ctx, id)
	}
}

// noted notes when it is called.
func noted(calls *[]time.Time, f api) api {
	var mu sync.Mutex
	return func(ctx context.Context, id string) (task.Workflow, error) {
		mu.Lock()
		*calls = append(*calls, time.Now())
		mu.Unlock()
		return f(ctx, id)
	}
}

func status(code int) error { return &task.StatusError{HTTPStatus: code} }

func newPoller(f api, limit rate.Limit) *poller.Poller {
	return poller.New(poller.Config{Interval: interval, MaxInterval: maxInterval}, f,
		rate.NewLimiter(limit, 1), prometheus.NewRegistry(), zerolog.Nop())
}

// fresh is a watch that began now.
func fresh(timeout time.Duration) *task.Watch {
	return &task.Watch{TaskID: "t", WorkflowID: "w", Submitted: time.Now(), Deadline: time.Now().Add(timeout)}
}

func resumed(ran, left time.Duration) *task.Watch {
	now := time.Now()
	return &task.Watch{
		TaskID: "t", WorkflowID: "w", Submitted: now.Add(-ran), Deadline: now.Add(left), Resumed: true,
	}
}

// await returns what a watch comes to.
func await(ctx context.Context, p *poller.Poller, w *task.Watch) (ending task.Ending, err error) {
	done := make(chan struct{})
	p.Watch(ctx, w, func(e task.Ending, err2 error) {
		ending, err = e, err2
		close(done)
	})
	<-done
	return ending, err
}

func wait(t *testing.T, p *poller.Poller, w *task.Watch) task.Ending {
	t.Helper()
	ending, err := await(t.Context(), p, w)
	if err != nil {
		t.Errorf("wait: %v", err)
	}
	return ending
}

func wantBetween(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("got %s %v, want %v to %v", what, got, least, most)
	}
}

func TestIntervalsGrowWithTheTimeTheWorkflowHasRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		start := time.Now()
		ending := wait(t, newPoller(noted(&calls, running), rate.Inf), fresh(10*time.Minute))
		last := start
		for _, call := range calls[:len(calls)-1] { // the last look comes when it must
			steady := min(max(last.Sub(start)/5, interval), maxInterval)
			wantBetween(t, "interval", call.Sub(last), max(interval, steady*9/10), steady*11/10+1)
			last = call
		}
		if got := ending.Polls; got != len(calls) || got < 40 {
			t.Errorf("got %d polls of %d calls, want all of at least 40", got, len(calls))
		}
	})
}

func TestEndIsNoticedWithinAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(50 * time.Second)
		p := newPoller(func(context.Context, string) (task.Workflow, error) {
			if time.Now().Before(end) {
				return task.Workflow{Status: "RUNNING"}, nil
			}
			return task.Workflow{Status: "COMPLETED", Result: []byte(`"yes"`)}, nil
		}, rate.Inf)
		ending := wait(t, p, fresh(time.Hour))
		if ending.Status != "COMPLETED" || string(ending.Result) != `"yes"` || ending.TimedOut || ending.Lost {
			t.Errorf("got %+v, want a completed workflow with its result", ending)
		}
		late := time.Since(end)
		wantBetween(t, "unnoticed", ending.Unnoticed, late, 11*time.Second)
	})
}

func TestUnknownStatesAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPoller(func(context.Context, string) (task.Workflow, error) {
			return task.Workflow{Status: "QUEUED"}, nil
		}, rate.Inf)
		ending := wait(t, p, fresh(time.Minute))
		if !ending.TimedOut || ending.Status != "QUEUED" {
			t.Errorf("got %+v, want a time-out in state QUEUED", ending)
		}
	})
}

func TestFirstPollsOfResumedWaitsAreSpreadOverASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		calls := make(chan time.Duration, 1000)
		p := newPoller(func(context.Context, string) (task.Workflow, error) {
			calls <- time.Since(start)
			return task.Workflow{Status: "COMPLETED"}, nil
		}, rate.Inf)
		for range 1000 {
			go wait(t, p, resumed(time.Hour, time.Hour))
		}
		var inFirstHalf int
		for range 1000 {
			call := <-calls
			wantBetween(t, "first poll", call, 0, time.Second)
			if call < time.Second/2 {
				inFirstHalf++
			}
		}
		if inFirstHalf < 400 || inFirstHalf > 600 {
			t.Errorf("got %d of 1000 first polls in the first half second, want about 500", inFirstHalf)
		}
	})
}

func TestDeadlineIsExactWhileTheAPIHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ending := wait(t, newPoller(hanging, rate.Inf), fresh(time.Minute))
		if got := time.Since(start); !ending.TimedOut || got != time.Minute {
			t.Errorf("got %+v after %v, want a time-out after 1m", ending, got)
		}
		if ending.Polls != 0 {
			t.Errorf("got %d polls, want none answered", ending.Polls)
		}
	})
}

func TestDeadlineIsExactWhileNoSlotAndNoTokenIsFree(t *testing.T) {
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
				ending := wait(t, p, fresh(time.Minute))
				if got := time.Since(start); !ending.TimedOut || got != 70*time.Second {
					t.Errorf("got %+v after %v, want a time-out after 70s", ending, got)
				}
			})
		})
	}
}

func TestLastLookFindsAnEndShortlyBeforeTheDeadline(t *testing.T) {
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
			ending := wait(t, p, w)
			if ending.TimedOut || ending.Status != "COMPLETED" {
				t.Errorf("timeout %v: got %+v, want it completed", timeout, ending)
			}
		})
	}
}

func TestResumedWaitLooksOnceThoughItsDeadlineHasPassed(t *testing.T) {
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
				ending := wait(t, newPoller(noted(&calls, tt.answer), rate.Inf), resumed(time.Hour, -time.Minute))
				if ending.TimedOut != tt.timeOut || len(calls) != 1 {
					t.Errorf("got %+v after %d calls, want timed out: %v after 1", ending, len(calls), tt.timeOut)
				}
				if got := time.Since(start); got != tt.within {
					t.Errorf("took %v, want %v", got, tt.within)
				}
			})
		})
	}
}

func TestEndOfContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		ending, err := await(ctx, newPoller(running, rate.Inf), fresh(time.Hour))
		if !errors.Is(err, context.DeadlineExceeded) || ending.Polls != 2 || ending.TimedOut {
			t.Errorf("got %+v and %v, want 2 polls and %v", ending, err, context.DeadlineExceeded)
		}
	})
}
