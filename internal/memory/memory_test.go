package memory_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/capstan-worker/capstan/internal/memory"
)

func TestAReservationThatDoesNotFitWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := memory.NewBudget(100)
		first := budget.TryReserve(80)
		if budget.TryReserve(30) != nil {
			t.Error("got a reservation beyond the budget, want none")
		}
		reserved := make(chan *memory.Reservation, 1)
		go func() {
			r, err := budget.Reserve(t.Context(), 30)
			if err != nil {
				t.Error(err)
			}
			reserved <- r
		}()
		synctest.Wait()
		select {
		case <-reserved:
			t.Error("the second reservation did not wait")
		default:
		}
		first.Shrink(70)
		second := <-reserved
		if got := budget.Free(); got != 0 {
			t.Errorf("got %d bytes free, want 0", got)
		}
		first.Release()
		first.Release()
		second.Release()
		if got := budget.Reserved(); got != 0 {
			t.Errorf("got %d bytes reserved, want 0", got)
		}
	})
}

func TestAReservationLargerThanTheBudgetTakesAllOfIt(t *testing.T) {
	budget := memory.NewBudget(100)
	r := budget.TryReserve(1000)
	if got := budget.Reserved(); got != 100 {
		t.Errorf("got %d bytes reserved, want 100", got)
	}
	r.Release()
	if got := budget.Free(); got != 100 {
		t.Errorf("got %d bytes free, want 100", got)
	}
}

func TestTheContextEndsTheWait(t *testing.T) {
	budget := memory.NewBudget(1)
	defer budget.TryReserve(1).Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := budget.Reserve(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestAQuarterOfTheLimitIsNotReserved(t *testing.T) {
	const limit = 450 << 20
	b := memory.Divide(limit)
	shares := b.Requests.Size() + b.Polls.Size() + b.Answers.Size() + b.Checks.Size() + b.Index.Size()
	if shares > limit/4*3 {
		t.Errorf("got %d bytes in shares, want at most three quarters of %d", shares, limit)
	}
}

func TestEachShareIsMeasured(t *testing.T) {
	b, reg := memory.Divide(1000), prometheus.NewRegistry()
	b.Register(reg)
	defer b.Answers.TryReserve(70).Release()
	const want = `
# HELP capstan_memory_budget_bytes Memory that may be reserved, by share.
# TYPE capstan_memory_budget_bytes gauge
capstan_memory_budget_bytes{share="answers"} 300
capstan_memory_budget_bytes{share="checks"} 100
capstan_memory_budget_bytes{share="index"} 50
capstan_memory_budget_bytes{share="polls"} 100
capstan_memory_budget_bytes{share="requests"} 200
# HELP capstan_memory_reserved_bytes Memory that is reserved, by share.
# TYPE capstan_memory_reserved_bytes gauge
capstan_memory_reserved_bytes{share="answers"} 70
capstan_memory_reserved_bytes{share="checks"} 0
capstan_memory_reserved_bytes{share="index"} 0
capstan_memory_reserved_bytes{share="polls"} 0
capstan_memory_reserved_bytes{share="requests"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestANilReservationCanBeReleased(*testing.T) {
	var none *memory.Reservation
	none.Shrink(1)
	none.Release()
}
