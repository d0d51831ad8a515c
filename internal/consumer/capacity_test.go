package consumer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/task"
)

// Requests that are fetched ahead would use up their leases while they wait for a slot.
func TestAWorkerPullsNoMoreThanItHasSlotsFor(t *testing.T) {
	t.Parallel()
	h := newHarness(t, shortLease, 20)
	handler := newHandler()
	h.run(handler, 5)
	handler.wait(t, 5)
	h.waitUnacked(5)
	handler.verdicts <- nil
	handler.wait(t, 6)
	h.waitUnacked(5)
}

func TestAWorkerPullsNoMoreThanItHasMemoryFor(t *testing.T) {
	t.Parallel()
	const size, fit = 900_000, 3
	h := newHarness(t, longLease, 0)
	for range 2 * fit {
		h.publish(strings.Repeat("x", size))
	}
	handler := newHandler()
	onSize := make(chan func(int), 2*fit)
	handler.onHandle = func(d *task.Delivery) { onSize <- d.OnSize }
	w := h.run(handler, 100, func(p *consumer.Parts) { p.Memory = memory.NewBudget(fit * 2 << 20) })
	handler.wait(t, fit)
	h.waitUnacked(fit)
	for range fit { // as after the submission
		(<-onSize)(100)
	}
	handler.wait(t, 2*fit)
	if got := w.parts.Memory.Reserved(); got > w.parts.Memory.Size() {
		t.Errorf("got %d bytes reserved, want at most %d", got, w.parts.Memory.Size())
	}
}

// The rules of package streams demand no more of a consumer than these limits, and NATS refuses a pull that asks for more.
func TestPullsKeepTheLimitsThatAConsumerMayHave(t *testing.T) {
	t.Parallel()
	const requests = 2 * jet.PullBatch
	h := newHarness(t, longLease, requests)
	cfg := h.info().Config
	cfg.MaxRequestBatch, cfg.MaxRequestExpires = jet.PullBatch, jet.PullWait
	if _, err := h.js.UpdateConsumer(t.Context(), "TASKS", cfg); err != nil {
		t.Fatal(err)
	}
	handler := newHandler()
	w := h.run(handler, 2*requests)
	handler.wait(t, requests)
	w.waitMetric("capstan_pull_errors_total", "", 0)
}

// The client buffers what it receives for a pull, and drops what does not fit.
func TestAPullAsksForNoMoreThanTheClientCanBuffer(t *testing.T) {
	t.Parallel()
	const requests = 1000
	h := newHarness(t, shortLease, requests)
	handler, pulls := newHandler(), &pulls{}
	h.run(handler, 2*requests, pulls.record)
	handler.wait(t, requests)
	if got := pulls.largest.Load(); got > jet.PullBatch {
		t.Errorf("got a pull of %d requests, want at most %d", got, jet.PullBatch)
	}
}

// A pull costs more than a request, so a pull for few slots waits up to 20 ms for more of them.
func TestSlotsThatAreFreedOneByOneAreFilledTogether(t *testing.T) {
	t.Parallel()
	const slots, freed = 200, 50
	h := newHarness(t, shortLease, slots+freed)
	handler, pulls := newHandler(), &pulls{}
	h.run(handler, slots, pulls.record)
	handler.wait(t, slots)
	before, began := pulls.count.Load(), time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range freed {
		<-tick.C
		handler.verdicts <- nil
	}
	handler.wait(t, slots+freed)
	most := 3 + time.Since(began).Milliseconds()/20
	if got := pulls.count.Load() - before; got > most {
		t.Errorf("got %d pulls for %d slots, want at most %d", got, freed, most)
	}
}
