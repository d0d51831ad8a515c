package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// start runs a consumer with these parts.
func (h *harness) start(cfg consumer.Config, p consumer.Parts) (stop func()) {
	c := consumer.New(cfg, p, prometheus.NewRegistry(), zerolog.Nop())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	h.t.Cleanup(stop)
	return stop
}

// What does not fit into the memory for requests stays on the stream until some of it is released.
func TestRequestsAreHeldWithinTheirMemory(t *testing.T) {
	t.Parallel()
	const size, fit = 900_000, 3
	h := newHarnessWith(t, 0, time.Minute)
	for range 2 * fit {
		h.publish(strings.Repeat("x", size))
	}
	nc, _ := h.server.Connect()
	handler := newHandler()
	p := h.parts(nc, h.source, handler)
	p.Memory = memory.NewBudget(fit * 2 << 20)
	small := make(chan *task.Delivery, 2*fit)
	handler.read = func(m *task.Delivery) { small <- m }
	h.start(consumer.Config{Consumer: "worker", MaxInFlight: 100, AckWait: h.ackWait}, p)
	h.waitHeld(handler, fit)
	if got := h.info().NumAckPending; got != fit {
		t.Errorf("got %d requests held, want %d", got, fit)
	}
	for range fit { // as after the submission
		(<-small).ReportSize(100)
	}
	h.waitHeld(handler, 2*fit)
	if got := p.Memory.Reserved(); got > p.Memory.Size() {
		t.Errorf("got %d bytes reserved, want at most %d", got, p.Memory.Size())
	}
}

// A request that hangs its handler is not kept alive: it is redelivered, so that such deliveries can be counted.
func TestARequestThatHangsIsRedelivered(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 2)
	nc, _ := h.server.Connect()
	handler := newHandler()
	handler.read = func(m *task.Delivery) {
		if m.Seq == 1 && m.Deliveries == 1 {
			m.OnBusy(true) // and never false
		}
	}
	h.start(consumer.Config{Consumer: "worker", MaxInFlight: 1, AckWait: h.ackWait}, h.parts(nc, h.source, handler))
	other := newHandler()
	h.run(other, 10)
	natstest.Eventually(t, func() error {
		if got := other.seen(); got[1] != 1 {
			return fmt.Errorf("got %v redelivered to the other worker, want request 1", got)
		}
		return nil
	})
	if got := other.seen()[2] + handler.seen()[2]; got != 1 {
		t.Errorf("request 2 was handled %d times, want once", got)
	}
}

// With nothing to hand over a worker does not wait for NATS.
func TestADrainWithNothingToHandOverDoesNotWaitForNATS(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 0)
	nc, _ := h.server.Connect()
	stop := h.start(consumer.Config{Consumer: "worker", MaxInFlight: 1, AckWait: h.ackWait}, h.parts(nc, h.source, newHandler()))
	h.server.Stop()
	natstest.Eventually(t, func() error {
		if nc.IsConnected() {
			return fmt.Errorf("still connected")
		}
		return nil
	})
	began := time.Now()
	stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the drain took %v, want it to end at once", took)
	}
}

// hung is a handler that never ends.
type hung struct{ release chan struct{} }

func (h hung) Handle(context.Context, *task.Delivery) error {
	<-h.release
	return nil
}

// A handler that hangs does not keep a worker whose time to drain is up.
func TestAHungHandlerDoesNotKeepAClosedWorker(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 1)
	nc, _ := h.server.Connect()
	handler := hung{make(chan struct{})}
	defer close(handler.release)
	stop := h.start(consumer.Config{Consumer: "worker", MaxInFlight: 1, AckWait: h.ackWait}, h.parts(nc, h.source, handler))
	natstest.Eventually(t, func() error {
		if got := h.info().NumAckPending; got != 1 {
			return fmt.Errorf("got %d requests held, want 1", got)
		}
		return nil
	})
	nc.Close()
	began := time.Now()
	stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the worker took %v, want it to end soon", took)
	}
}
