package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// A NAK with a delay would keep the tasks from the other workers.
func TestADrainHandsEverythingOverAtOnce(t *testing.T) {
	t.Parallel()
	const requests = 100
	h := newHarness(t, longLease, requests)
	answers := h.answers()
	first, second := newHandler(), newHandler()
	draining := h.run(first, 2*requests)
	first.wait(t, requests)
	h.run(second, 2*requests)
	began := time.Now()
	draining.stop()
	second.wait(t, requests)
	if took := time.Since(began); took > h.ackWait/2 {
		t.Errorf("the other worker had all requests after %v, want them long before ACK_WAIT", took)
	}
	natstest.Eventually(t, func() error { // the listener may lag
		naks := 0
		for _, a := range answers() {
			switch a.what {
			case "-NAK":
				naks++
			case "+WPI":
			default:
				t.Errorf("got answer %q, want NAKs and heartbeats only", a.what)
			}
		}
		if naks != requests {
			return fmt.Errorf("got %d NAKs, want %d", naks, requests)
		}
		return nil
	})
}

// With NATS unreachable a pull may last longer than a short lease. Requests are handed over all the same.
func TestADrainDuringAnOutageDoesNotWaitForThePull(t *testing.T) {
	t.Parallel()
	h := newHarness(t, longLease, 1)
	handler := newHandler()
	open := &openPull{reached: make(chan struct{}), end: make(chan struct{})}
	w := h.run(handler, 10, func(p *consumer.Parts) { open.Consumer, p.Source = p.Source, open })
	handler.wait(t, 1)
	<-open.reached
	h.server.Stop()
	w.waitDisconnected()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.stop()
	}()
	w.waitMetric("capstan_requests_released_total", "handed_over", 1)
	close(open.end)
	h.server.Restart()
	<-stopped
	other := newHandler()
	began := time.Now()
	h.run(other, 10)
	other.wait(t, 1)
	if took := time.Since(began); took > h.ackWait/2 {
		t.Errorf("the other worker had the request after %v, want it long before ACK_WAIT", took)
	}
}

// An open pull of the worker that drains would get its own request again.
func TestADrainSendsNoNAKWhileAPullIsOpen(t *testing.T) {
	t.Parallel()
	h := newHarness(t, longLease, 1)
	answers := h.answers()
	handler := newHandler()
	open := &openPull{reached: make(chan struct{}), end: make(chan struct{})}
	w := h.run(handler, 10, func(p *consumer.Parts) { open.Consumer, p.Source = p.Source, open })
	handler.wait(t, 1)
	<-open.reached
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.stop()
	}()
	w.waitMetric("capstan_requests_released_total", "handed_over", 1)
	if err := w.parts.Batcher.Flush(time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, a := range answers() {
		if a.what != "+WPI" {
			t.Errorf("got answer %q while a pull is open, want none", a.what)
		}
	}
	close(open.end)
	<-stopped
}

// openPull is a pull consumer whose second pull brings nothing and stays open until the test ends it.
type openPull struct {
	jetstream.Consumer
	pulls        int
	reached, end chan struct{}
}

func (o *openPull) Fetch(n int, opts ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	o.pulls++
	if o.pulls != 2 {
		return o.Consumer.Fetch(n, opts...)
	}
	close(o.reached)
	<-o.end
	return nil, errors.New("no answer")
}

// This holds also for a pull that waits for more free slots.
func TestADrainPullsNoMore(t *testing.T) {
	t.Parallel()
	h := newHarness(t, shortLease, 220)
	handler, pulls := newHandler(), &pulls{}
	w := h.run(handler, 200, pulls.record)
	handler.wait(t, 200)
	before, began := pulls.count.Load(), time.Now()
	handler.verdicts <- nil
	<-time.After(5 * time.Millisecond)
	inTime := time.Since(began) < 15*time.Millisecond // later the pull may have left
	w.stop()
	if got := pulls.count.Load() - before; got > 0 && inTime {
		t.Errorf("got %d pulls, want none", got)
	}
}

func TestADrainWithNothingToHandOverDoesNotWaitForNATS(t *testing.T) {
	t.Parallel()
	h := newHarness(t, longLease, 0)
	w := h.run(newHandler(), 1)
	h.server.Stop()
	w.waitDisconnected()
	stopsWithin(t, w, time.Minute) // NATS does not come back
}

func TestAPanicInADrainIsCountedAndTheDrainEnds(t *testing.T) {
	t.Parallel()
	h := newHarness(t, shortLease, 1)
	reached := make(chan struct{})
	w := h.run(handlerFunc(func(ctx context.Context, _ *task.Delivery) error {
		close(reached)
		<-ctx.Done()
		panic("stopped")
	}), 1)
	<-reached
	stopsWithin(t, w, time.Minute)
	if got := metric(t, w.reg, "capstan_handler_panics_total", ""); got != 1 {
		t.Errorf("got %v panics counted, want 1", got)
	}
}

// A worker whose DRAIN_TIMEOUT is over closes its connection.
func TestAHandlerThatHangsDoesNotKeepAWorkerWhoseConnectionIsClosed(t *testing.T) {
	t.Parallel()
	h := newHarness(t, longLease, 1)
	release, reached := make(chan struct{}), make(chan struct{})
	defer close(release)
	w := h.run(handlerFunc(func(context.Context, *task.Delivery) error {
		close(reached)
		<-release
		return nil
	}), 1)
	<-reached
	w.parts.Conn.Close()
	stopsWithin(t, w, time.Minute)
}

// stopsWithin stops a worker, and fails the test if that takes longer than d.
func stopsWithin(t *testing.T, w *worker, d time.Duration) {
	t.Helper()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		w.stop()
	}()
	select {
	case <-stopped:
	case <-time.After(d):
		t.Fatalf("the worker did not stop within %v", d)
	}
}

type handlerFunc func(context.Context, *task.Delivery) error

func (f handlerFunc) Handle(ctx context.Context, d *task.Delivery) error { return f(ctx, d) }

// waitDisconnected waits until the worker has noticed that NATS is unreachable.
func (w *worker) waitDisconnected() {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		if w.parts.Conn.IsConnected() {
			return fmt.Errorf("got a connected worker, want a disconnected one")
		}
		return nil
	})
}
