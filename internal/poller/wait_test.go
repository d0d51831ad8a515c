package poller_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

// A hundred thousand waits must fit into a worker, however much stack a call needs.
func TestAWaitTakesLittleMemory(t *testing.T) {
	const waits, most = 10_000, 12 << 10 // with the race detector, which doubles it
	asked := make(chan struct{}, waits)
	p := poller.New(poller.Config{Interval: time.Second, MaxInterval: time.Second}, api(func(context.Context, string) (task.Workflow, error) {
		select {
		case asked <- struct{}{}:
		default:
		}
		return task.Workflow{Status: "RUNNING", Error: deep(16)}, nil
	}), plenty(), rate.NewLimiter(rate.Inf, 1), prometheus.NewRegistry(), zerolog.Nop())
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	before := inUse()
	for range waits {
		all.Go(func() { _, _ = p.Wait(ctx, resumed(time.Hour, time.Hour)) })
	}
	for range waits { // nearly all have asked
		<-asked
	}
	got := (inUse() - before) / waits
	t.Logf("%d bytes a wait", got)
	if got > most {
		t.Errorf("got %d bytes a wait, want at most %d", got, most)
	}
	cancel()
	all.Wait()
}

// deep uses a KiB of stack for each level.
func deep(levels int) string {
	var frame [1 << 10]byte
	frame[levels] = 'x'
	if levels > 0 {
		return deep(levels - 1)
	}
	return string(frame[:1])
}

// inUse is the memory of the heap and of the stacks.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// The consumer recovers. The poller must release its slot and memory.
func TestAPanicReleasesEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		budgets := plenty()
		p := poller.New(poller.Config{Interval: interval, MaxInterval: maxInterval}, api(func(context.Context, string) (task.Workflow, error) {
			if calls.Add(1) <= 200 { // more than there are calls at once
				panic("as the test asked")
			}
			return task.Workflow{Status: "COMPLETED"}, nil
		}), budgets, rate.NewLimiter(rate.Inf, 1), prometheus.NewRegistry(), zerolog.Nop())
		for range 200 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("got no panic, want that of the API's client")
					}
				}()
				_, _ = p.Wait(t.Context(), fresh(time.Hour))
			}()
		}
		if outcome := wait(t, p, fresh(time.Hour)); outcome.Status != "COMPLETED" {
			t.Errorf("got %+v, want it completed", outcome)
		}
		wantFree(t, budgets)
	})
}

// A wait can be stopped while it sleeps, while it waits in line, and during its call.
func TestAWaitStopsAtAnyPoint(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer api
		limit  rate.Limit
		memory poller.Budgets
		after  time.Duration
	}{
		"at once":      {running, rate.Inf, plenty(), 0},
		"asleep":       {running, rate.Inf, plenty(), time.Second},
		"asking":       {hanging, rate.Inf, plenty(), 5 * time.Second},
		"for a slot":   {hanging, rate.Inf, plenty(), 5 * time.Second},
		"for memory":   {hanging, rate.Inf, poller.Budgets{Polls: memory.NewBudget(1), Answers: memory.NewBudget(1)}, 5 * time.Second},
		"for the rate": {running, rate.Every(time.Hour), plenty(), 5 * time.Second},
		"deferred":     {script(status(429)), rate.Inf, plenty(), 2500 * time.Millisecond},
	}
	for name, tt := range tests {
		for by, want := range map[string]error{"no cause": context.Canceled, "a cause": task.ErrInterrupted} {
			t.Run(name+"/"+by, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					p := poller.New(poller.Config{Interval: interval, MaxInterval: maxInterval}, tt.answer, tt.memory,
						rate.NewLimiter(tt.limit, 1), prometheus.NewRegistry(), zerolog.Nop())
					var all sync.WaitGroup
					for range 300 {
						all.Go(func() {
							if _, err := p.Wait(ctx, fresh(time.Hour)); !errors.Is(err, want) {
								t.Errorf("got %v, want %v", err, want)
							}
						})
					}
					synctest.Wait() // they have begun
					start := time.Now()
					time.AfterFunc(tt.after, func() { cancel(want) })
					all.Wait()
					if got := time.Since(start); got != tt.after {
						t.Errorf("the waits ended after %v, want %v", got, tt.after)
					}
					wantFree(t, tt.memory)
				})
			})
		}
	}
}

// Waits that end in all ways at once release all slots and all memory.
func TestEndedWaitsReleaseEverything(t *testing.T) {
	t.Parallel()
	budgets := poller.Budgets{Polls: memory.NewBudget(50 * 256 << 10), Answers: memory.NewBudget(1 << 20)}
	answers := func(context.Context, string) (task.Workflow, error) {
		switch rand.IntN(10) {
		case 0:
			panic("as the test asked")
		case 1, 2, 3:
			return task.Workflow{Status: "COMPLETED"}, nil
		case 4:
			return task.Workflow{}, refusal(429, time.Millisecond)
		case 5:
			return task.Workflow{}, &task.StatusError{HTTPStatus: 200, TooLarge: true, Size: -1}
		default:
			return task.Workflow{Status: "RUNNING"}, nil
		}
	}
	p := poller.New(poller.Config{Interval: interval, MaxInterval: maxInterval}, api(answers), budgets,
		rate.NewLimiter(20_000, 1), prometheus.NewRegistry(), zerolog.Nop())
	var all sync.WaitGroup
	for range 5000 {
		all.Go(func() {
			defer func() { _ = recover() }()
			ctx, cancel := context.WithTimeout(t.Context(), rand.N(300*time.Millisecond))
			defer cancel()
			outcome, _ := p.Wait(ctx, resumed(rand.N(time.Second), rand.N(time.Second)))
			outcome.Release()
		})
	}
	all.Wait()
	wantFree(t, budgets)
	for range 200 { // more than there are calls at once
		func() {
			defer func() { _ = recover() }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if outcome, err := p.Wait(ctx, resumed(time.Hour, -time.Hour)); err != nil {
				t.Errorf("got %+v, %v, want a poll", outcome, err)
			} else {
				outcome.Release()
			}
		}()
	}
}

// Intervals of days are legal.
func TestVeryLongIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		answers := func(_ context.Context, id string) (task.Workflow, error) {
			if id == "ends" {
				return task.Workflow{Status: "COMPLETED"}, nil
			}
			return task.Workflow{Status: "RUNNING"}, nil
		}
		p := poller.New(poller.Config{Interval: 5 * time.Hour, MaxInterval: 100 * time.Hour}, api(answers), plenty(),
			rate.NewLimiter(rate.Inf, 1), prometheus.NewRegistry(), zerolog.Nop())
		for range 60 { // enough to learn from
			w := fresh(1000 * time.Hour)
			w.WorkflowID = "ends"
			wait(t, p, w)
		}
		for range 200 {
			if outcome := wait(t, p, resumed(rand.N(20*time.Hour), 300*time.Hour)); !outcome.TimedOut {
				t.Errorf("got %+v, want it timed out", outcome)
			}
		}
	})
}
