package admission_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, rate.Inf)
		release := acquire(t, a)
		in := queue(t.Context(), a, 50)
		release(nil)
		var order []int
		for range 50 {
			next := <-in
			order = append(order, next.number)
			next.release(nil)
		}
		if !slices.IsSorted(order) {
			t.Errorf("got order %v, want the order of asking", order)
		}
		if got := a.Accepted(); got != 51 {
			t.Errorf("got %d accepted, want 51", got)
		}
	})
}

func TestNeverMoreThanTheSlotsAreUnderWay(t *testing.T) {
	const slots = 7
	a := newAdmission(slots, rate.Inf)
	var underWay, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for j := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%5 == 0 {
					go cancel()
				}
				if release, err := a.Acquire(ctx, "", nil); err == nil {
					n := underWay.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					underWay.Add(-1)
					release(outcome(i, j))
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if got := most.Load(); got > slots {
		t.Errorf("got %d under way at once, want at most %d", got, slots)
	}
	for range slots { // none was lost
		acquire(t, a)
	}
}

// outcome returns each that does not pause for long, of the j-th submission of the i-th goroutine.
func outcome(i, j int) error {
	switch j % 50 {
	case 0:
		return notNow(time.Microsecond)
	case 1:
		return task.ErrNotSubmitted
	case 2:
		return &task.SubmitError{Kind: task.Refused, HTTPStatus: 400 + i} // no kind comes five times in a row
	default:
		return nil
	}
}

func TestRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(16, 2)
		start := time.Now()
		for range 11 {
			acquire(t, a)
		}
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("got 11 submissions in %v, want 5s at 2 a second", got)
		}
	})
}

func TestCanceledWaitersReleaseEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, rate.Inf)
		release := acquire(t, a)
		ctx, cancel := context.WithCancel(t.Context())
		in := queue(ctx, a, 10)
		cancel()
		for range 10 {
			if got := (<-in).err; !errors.Is(got, context.Canceled) {
				t.Errorf("got %v, want %v", got, context.Canceled)
			}
		}
		release(nil)
		acquire(t, a)
	})
}

func TestTokenThatComesTooLateEndsTheWaitAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, rate.Every(time.Minute))
		acquire(t, a)(nil)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := a.Acquire(ctx, "", nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("gave up after %v, want 10s", got)
		}
		acquire(t, a)
	})
}
