package consumer_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"
	"weak"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestADoneRequestIsAcknowledged(t *testing.T) {
	t.Parallel()
	h := newHarness(t, shortLease, 1)
	handler := newHandler()
	h.run(handler, 10)
	handler.verdicts <- nil
	natstest.Eventually(t, func() error {
		if info := h.info(); info.NumAckPending != 0 || info.NumPending != 0 || info.AckFloor.Stream != 1 {
			return fmt.Errorf("got %d un-acked and %d pending, want none", info.NumAckPending, info.NumPending)
		}
		return nil
	})
}

func TestAFailedRequestIsRedelivered(t *testing.T) {
	t.Parallel()
	h := newHarness(t, shortLease, 1)
	handler := newHandler()
	w := h.run(handler, 10)
	handler.verdicts <- errors.New("failed")
	handler.waitFirst(t, 2)
	w.waitMetric("capstan_redeliveries_total", "", 1)
	w.waitMetric("capstan_deliveries_total", "", 2)
}

func TestARequestOfAnotherWorkerIsNotAnswered(t *testing.T) {
	t.Parallel()
	h := newHarness(t, shortLease, 1)
	answers := h.answers()
	handler := newHandler()
	h.run(handler, 10)
	handler.verdicts <- task.ErrNotOwner
	handler.waitFirst(t, 2) // its lease expired, because it was not extended any longer
	if got := answers(); len(got) > 0 && got[0].what != "+WPI" {
		t.Errorf("got answer %q, want none", got[0].what)
	}
}

func TestARequestWhoseHandlerPanicsIsRedelivered(t *testing.T) {
	t.Parallel()
	h := newHarness(t, shortLease, 2)
	handler := newHandler()
	handler.onHandle = func(d *task.Delivery) {
		if d.Seq == 1 {
			panic("the first request")
		}
	}
	h.run(handler, 10)
	natstest.Eventually(t, func() error {
		if got := handler.handled(); got[1] < 2 || got[2] != 1 {
			return fmt.Errorf("got handled %v, want 1 twice and 2 once", got)
		}
		return nil
	})
}

func TestTheBodyOfARequestIsFreedWhileItsTaskRuns(t *testing.T) {
	t.Parallel()
	const requests = 5
	h := newHarness(t, longLease, 0)
	for range requests {
		h.publish(strings.Repeat("x", 100)) // values of less than 16 bytes share a block with others, which keep it in use
	}
	handler := newHandler()
	bodies := make(chan weak.Pointer[byte], requests)
	handler.onHandle = func(d *task.Delivery) { bodies <- weak.Make(unsafe.SliceData(d.Data)) }
	h.run(handler, 10)
	for range requests {
		body := <-bodies
		natstest.Eventually(t, func() error {
			runtime.GC()
			if body.Value() != nil {
				return errors.New("the body is still in memory")
			}
			return nil
		})
	}
}
