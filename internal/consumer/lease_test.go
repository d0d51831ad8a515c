package consumer_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestLeasesAreExtendedInBursts(t *testing.T) {
	t.Parallel()
	const requests, bursts, ackWait = 50, 5, 3 * shortLease
	h := newHarness(t, ackWait, requests)
	answers := h.answers()
	handler := newHandler()
	h.run(handler, 2*requests)
	handler.wait(t, requests)
	natstest.Eventually(t, func() error {
		if n := len(answers()); n < bursts*requests {
			return fmt.Errorf("got %d heartbeats, want %d", n, bursts*requests)
		}
		return nil
	})
	for seq, calls := range handler.handled() {
		if calls != 1 {
			t.Errorf("request %d was handled %d times despite heartbeats, want once", seq, calls)
		}
	}
	// A busy machine may stretch some bursts, but not most of them over half of the time between two.
	var lasted []time.Duration
	for burst := range slices.Chunk(answers()[:bursts*requests], requests) {
		lasted = append(lasted, burst[requests-1].at.Sub(burst[0].at))
	}
	slices.Sort(lasted)
	if median := lasted[bursts/2]; median > ackWait/3/2 {
		t.Errorf("got bursts that lasted %v, want most within %v", lasted, ackWait/3/2)
	}
}

// After a long outage all requests are redelivered, also to a worker that still has them in progress.
func TestAnOutageLongerThanAckWaitStartsNoHandlerTwice(t *testing.T) {
	t.Parallel()
	const requests = 3
	h := newHarness(t, shortLease, requests)
	handler := newHandler()
	w := h.run(handler, 10)
	handler.wait(t, requests)
	h.outage()
	w.waitMetric("capstan_redeliveries_total", "", requests)
	for seq, calls := range handler.handled() {
		if expired := handler.leaseExpired(seq); calls != 1 || !expired {
			t.Errorf("request %d: handled %d times, lease expired %v, want once and true", seq, calls, expired)
		}
	}
	for range requests {
		handler.verdicts <- nil
	}
	h.waitUnacked(0)
}

// A worker whose lease expired may lose the task to another. If the request is redelivered to it, it has it redelivered
// once more, to start over at once.
func TestATaskThatWasLostAndRedeliveredHereStartsOver(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 2*shortLease, 1)
	answers := h.answers()
	handler := newHandler()
	w := h.run(handler, 10)
	handler.wait(t, 1)
	h.outage()
	w.waitMetric("capstan_redeliveries_total", "", 1)
	handler.verdicts <- task.ErrNotOwner
	handler.waitFirst(t, 2)
	naked := slices.ContainsFunc(answers(), func(a answer) bool { return a.what == "-NAK" })
	if got := metric(t, w.reg, "capstan_requests_released_total", "nacked"); got != 1 || !naked {
		t.Errorf("got %v NAKs counted and a NAK received %v, want 1 and true", got, naked)
	}
}

// The server counts a lease from when it sent the delivery. A worker that stalls before it reads that must not count it
// from later.
func TestALeaseCountsFromThePull(t *testing.T) {
	t.Parallel()
	h := newHarness(t, shortLease, 1)
	handler := newHandler()
	h.run(handler, 10, func(p *consumer.Parts) { p.Source = stalled{p.Source, h.ackWait} })
	handler.wait(t, 1)
	if !handler.leaseExpired(1) {
		t.Error("got a valid lease for a delivery that is older than ACK_WAIT, want an expired one")
	}
}

// stalled is a pull consumer whose deliveries are read only after a while.
type stalled struct {
	jetstream.Consumer
	during time.Duration
}

func (s stalled) Fetch(n int, opts ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	batch, err := s.Consumer.Fetch(n, opts...)
	wait := time.NewTimer(s.during)
	<-wait.C
	return batch, err
}

// The lease of a request that hangs its handler is not extended, so that the failed deliveries can be counted.
func TestARequestThatHangsIsRedelivered(t *testing.T) {
	t.Parallel()
	h := newHarness(t, shortLease, 2)
	handler := newHandler()
	handler.onHandle = func(d *task.Delivery) {
		if d.Seq == 1 && d.Deliveries == 1 {
			d.OnBusy(true) // and never false
		}
	}
	h.run(handler, 1)
	other := newHandler()
	h.run(other, 10)
	other.waitFirst(t, 1)
	if got := other.handled()[2] + handler.handled()[2]; got != 1 {
		t.Errorf("request 2 was handled %d times, want once", got)
	}
}

// outage stops the server for longer than ACK_WAIT.
func (h *harness) outage() {
	h.t.Helper()
	h.server.Stop()
	wait := time.NewTimer(2 * h.ackWait)
	<-wait.C
	h.server.Restart()
}

// leaseExpired reports whether the lease of a request has expired at some time.
func (h *handler) leaseExpired(seq uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expired[seq]()
}
