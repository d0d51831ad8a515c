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
	"weak"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/contain"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestWaitingTakesNoGoroutine(t *testing.T) {
	p := newPoller(running, rate.Inf)
	ctx, cancel := context.WithCancel(t.Context())
	before := runtime.NumGoroutine()
	var all sync.WaitGroup
	for range 1000 {
		all.Add(1)
		p.Watch(ctx, fresh(time.Hour), func(task.Ending, error) { all.Done() })
	}
	if got := runtime.NumGoroutine(); got > before {
		t.Errorf("got %d goroutines more for 1000 waits, want none", got-before)
	}
	cancel()
	all.Wait()
}

func TestAPanicEndsTheWaitAndGivesItsSlotBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		p := newPoller(func(context.Context, string) (task.Workflow, error) {
			if calls.Add(1) <= 200 { // more than there are slots
				panic("no such luck")
			}
			return task.Workflow{Status: "COMPLETED"}, nil
		}, rate.Inf)
		for range 200 {
			if _, err := await(t.Context(), p, fresh(time.Hour)); !isPanic(err) {
				t.Errorf("got %v, want a panic", err)
			}
		}
		if ending := wait(t, p, fresh(time.Hour)); ending.Status != "COMPLETED" {
			t.Errorf("got %+v, want it completed", ending)
		}
	})
}

func isPanic(err error) bool {
	_, ok := errors.AsType[*contain.PanicError](err)
	return ok
}

// A wait can be told to end while it sleeps, while it is queued, while it asks, and before it began.
func TestEndOfContextEndsAWaitAtAnyPoint(t *testing.T) {
	tests := map[string]struct {
		answer api
		limit  rate.Limit
		after  time.Duration
	}{
		"before":          {running, rate.Inf, 0},
		"asleep":          {running, rate.Inf, time.Second},
		"asking":          {hanging, rate.Inf, 5 * time.Second},
		"for a free call": {hanging, rate.Inf, 5 * time.Second},
		"for the rate":    {running, rate.Every(time.Hour), 5 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), tt.after)
				defer cancel()
				p := newPoller(tt.answer, tt.limit)
				var ends atomic.Int32
				for range 300 {
					p.Watch(ctx, fresh(time.Hour), func(_ task.Ending, err error) {
						if !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
						}
						ends.Add(1)
					})
				}
				<-ctx.Done()
				synctest.Wait()
				if got := ends.Load(); got != 300 || time.Since(start) != tt.after {
					t.Errorf("got %d ends after %v, want 300 after %v", got, time.Since(start), tt.after)
				}
			})
		})
	}
}

// Whatever comes at the same time, each wait has one end.
func TestEachWaitEndsOnce(t *testing.T) {
	p := newPoller(func(context.Context, string) (task.Workflow, error) {
		switch rand.IntN(10) {
		case 0:
			panic("no such luck")
		case 1, 2, 3:
			return task.Workflow{Status: "COMPLETED"}, nil
		case 4:
			return task.Workflow{}, &task.StatusError{HTTPStatus: 429, RetryAfter: time.Millisecond}
		default:
			return task.Workflow{Status: "RUNNING"}, nil
		}
	}, 20_000)
	ends := make([]atomic.Int32, 5000)
	var all sync.WaitGroup
	for i := range ends {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(300))*time.Millisecond)
		all.Add(1)
		p.Watch(ctx, resumed(rand.N(time.Second), rand.N(time.Second)), func(task.Ending, error) {
			if ends[i].Add(1) == 1 {
				cancel()
				all.Done()
			}
		})
	}
	all.Wait()
	<-time.After(100 * time.Millisecond) // for a second end
	for i := range ends {
		if got := ends[i].Load(); got != 1 {
			t.Errorf("wait %d ended %d times", i, got)
		}
	}
}

// Waits whose time is up while others stand before them in the queue leave nothing behind.
func TestTheQueueForgetsWhoHasLeft(t *testing.T) {
	const slots, leave = 128, 1000
	p := newPoller(hanging, rate.Inf)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range slots + 1 { // the last of them is the first in the queue
		all.Add(1)
		p.Watch(ctx, resumed(time.Hour, time.Hour), func(task.Ending, error) { all.Done() })
	}
	<-time.After(time.Second) // they look within that
	var kept []weak.Pointer[[1 << 10]byte]
	var left sync.WaitGroup
	for range leave {
		mine := new([1 << 10]byte)
		kept = append(kept, weak.Make(mine))
		left.Add(1)
		w := resumed(time.Hour, -time.Hour)
		w.Resumed = false // it has no time to look
		w.Submitted, w.Deadline = time.Now(), time.Now().Add(300*time.Millisecond)
		p.Watch(ctx, w, func(task.Ending, error) {
			mine[0]++
			left.Done()
		})
	}
	left.Wait()
	runtime.GC()
	alive := 0
	for _, mine := range kept {
		if mine.Value() != nil {
			alive++
		}
	}
	if alive > 2*slots {
		t.Errorf("got %d of %d ended waits kept", alive, leave)
	}
	cancel()
	all.Wait()
}

// Intervals of days are legal.
func TestVeryLongIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := func(_ context.Context, id string) (task.Workflow, error) {
			if id == "ends" {
				return task.Workflow{Status: "COMPLETED"}, nil
			}
			return task.Workflow{Status: "RUNNING"}, nil
		}
		p := poller.New(poller.Config{Interval: 5 * time.Hour, MaxInterval: 100 * time.Hour}, api(answers), rate.NewLimiter(rate.Inf, 1),
			prometheus.NewRegistry(), zerolog.Nop())
		for range 60 { // enough to learn from
			w := fresh(1000 * time.Hour)
			w.WorkflowID = "ends"
			wait(t, p, w)
		}
		for range 200 {
			if ending := wait(t, p, resumed(rand.N(20*time.Hour), 300*time.Hour)); !ending.TimedOut {
				t.Errorf("got %+v, want it timed out", ending)
			}
		}
	})
}
