package gate_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/gate"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newGate(concurrency int, limit rate.Limit) *gate.Gate {
	return gate.New(gate.Config{Concurrency: concurrency}, rate.NewLimiter(limit, 1),
		prometheus.NewRegistry(), zerolog.Nop())
}

func enter(t *testing.T, g *gate.Gate) (leave func(error)) {
	t.Helper()
	leave, err := g.Enter(t.Context())
	if err != nil {
		t.Fatalf("enter: %v", err)
	}
	return leave
}

func notNow(retryAfter time.Duration) error {
	return &task.SubmitError{Outcome: task.NotNow, Reason: task.RateLimited, HTTPStatus: 429, RetryAfter: retryAfter}
}

// queue starts n goroutines that enter one after the other and report their numbers.
func queue(ctx context.Context, g *gate.Gate, n int) <-chan entered {
	in := make(chan entered, n)
	for i := range n {
		go func() {
			leave, err := g.Enter(ctx)
			in <- entered{number: i, leave: leave, err: err}
		}()
		synctest.Wait()
	}
	return in
}

type entered struct {
	number int
	leave  func(error)
	err    error
}

func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, rate.Inf)
		leave := enter(t, g)
		in := queue(t.Context(), g, 50)
		leave(nil)
		var order []int
		for range 50 {
			next := <-in
			order = append(order, next.number)
			next.leave(nil)
		}
		if !slices.IsSorted(order) {
			t.Errorf("got order %v, want the order of asking", order)
		}
		if got := g.Accepted(); got != 51 {
			t.Errorf("got %d accepted, want 51", got)
		}
	})
}

func TestNeverMoreThanTheSlotsAreUnderWay(t *testing.T) {
	const slots = 7
	g := newGate(slots, rate.Inf)
	var underWay, most atomic.Int64
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			for j := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%5 == 0 {
					go cancel()
				}
				if leave, err := g.Enter(ctx); err == nil {
					n := underWay.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					underWay.Add(-1)
					leave(outcome(j))
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
		enter(t, g)
	}
}

// outcome returns each that does not pause for long.
func outcome(i int) error {
	switch i % 50 {
	case 0:
		return notNow(time.Microsecond)
	case 1:
		return task.ErrNotSubmitted
	case 2:
		return &task.SubmitError{Outcome: task.Refused}
	default:
		return nil
	}
}

func TestRateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(16, 2)
		start := time.Now()
		for range 11 {
			enter(t, g)
		}
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("got 11 submissions in %v, want 5s at 2 a second", got)
		}
	})
}

func TestCancelledWaitersLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, rate.Inf)
		leave := enter(t, g)
		ctx, cancel := context.WithCancel(t.Context())
		in := queue(ctx, g, 10)
		cancel()
		for range 10 {
			if got := (<-in).err; !errors.Is(got, context.Canceled) {
				t.Errorf("got %v, want %v", got, context.Canceled)
			}
		}
		leave(nil)
		enter(t, g)
	})
}

func TestTokenThatComesTooLateEndsTheWaitAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, rate.Every(time.Minute))
		enter(t, g)(nil)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := g.Enter(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("gave up after %v, want 10s", got)
		}
		enter(t, g)
	})
}
