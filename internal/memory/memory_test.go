package memory_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/capstan-worker/capstan/internal/memory"
)

func TestWhatDoesNotFitWaitsItsTurn(t *testing.T) {
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

func TestTheSharesLeaveRoomForTheRest(t *testing.T) {
	const limit = 450 << 20
	b := memory.Divide(limit)
	shares := b.Requests.Size() + b.Polls.Size() + b.Answers.Size() + b.Checks.Size() + b.Index.Size()
	if shares > limit/5*4 {
		t.Errorf("got %d bytes in shares, want at most four fifths of %d", shares, limit)
	}
}

func TestNothingIsAReservationToo(*testing.T) {
	var none *memory.Reservation
	none.Shrink(1)
	none.Release()
}
