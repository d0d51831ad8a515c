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

	"github.com/capstan-worker/capstan/internal/memory"
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

// unknown is the API's own word that it does not know the workflow.
func unknown(code int) error {
	return &task.StatusError{HTTPStatus: code, OwnForm: true, Message: "workflow not found"}
}

func newPoller(f api, limit rate.Limit) *poller.Poller {
	return limited(f, rate.NewLimiter(limit, 1))
}

// limited returns a poller that has this rate.
func limited(f poller.API, limit *rate.Limiter) *poller.Poller {
	return poller.New(poller.Config{Interval: interval, MaxInterval: maxInterval}, f, plenty(), limit,
		prometheus.NewRegistry(), zerolog.Nop())
}

// plenty is memory that no test uses up.
func plenty() poller.Budgets {
	return poller.Budgets{Polls: memory.NewBudget(1 << 30), Answers: memory.NewBudget(1 << 40)}
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

func wait(t *testing.T, p *poller.Poller, w *task.Watch) *task.Outcome {
	t.Helper()
	ending, err := p.Wait(t.Context(), w)
	if err != nil {
		t.Errorf("wait: %v", err)
	}
	ending.Release()
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
		wantBetween(t, "unnoticed", ending.DetectionDelay, late, 11*time.Second)
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

func TestFirstPollsOfResumedWaitsAreSpread(t *testing.T) {
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

// A takeover of many tasks does not delay the first polls of those that come later.
func TestSpreadOfATakeoverIsForgotten(t *testing.T) {
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
		ending, err := newPoller(running, rate.Inf).Wait(ctx, fresh(time.Hour))
		if !errors.Is(err, context.DeadlineExceeded) || ending.Polls != 2 || ending.TimedOut {
			t.Errorf("got %+v and %v, want 2 polls and %v", ending, err, context.DeadlineExceeded)
		}
	})
}
