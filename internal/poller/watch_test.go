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

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/contain"
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
