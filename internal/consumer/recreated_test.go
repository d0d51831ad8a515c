package consumer_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// An ack names the stream and a sequence. A stream that was deleted and recreated counts from 1 again, so that an old
// delivery's ack would remove a request that another worker holds.
func TestAnAckOfARecreatedStreamRemovesNothing(t *testing.T) {
	t.Parallel()
	const requests = 3
	h := newHarnessWith(t, requests, time.Minute)
	old := newHandler()
	stopOld := h.run(old, requests) // it has no slot left, and so does not pull
	h.waitHeld(old, requests)
	if err := h.js.DeleteStream(t.Context(), "TASKS"); err != nil {
		t.Fatal(err)
	}
	h.provision()
	for i := range requests {
		h.publish(fmt.Sprint("new ", i))
	}
	next := newHandler()
	h.run(next, requests)
	h.waitHeld(next, requests)
	looked := time.NewTimer(1100 * time.Millisecond) // a look at the stream is believed for a second
	<-looked.C
	answers := h.answers()
	for range requests {
		old.verdicts <- nil
	}
	stopOld() // the server has whatever it answered
	for range requests {
		next.verdicts <- errors.New("the worker dies") // it answers nothing
	}
	if info := h.info(); info.NumAckPending != requests {
		t.Errorf("got %d requests un-acked, want %d", info.NumAckPending, requests)
	}
	for _, a := range answers() {
		t.Errorf("got answer %q to a delivery of the old stream, want none", a.what)
	}
}

// A worker whose lease expired may lose the task to another. When it gets the request back, it starts over at once.
func TestATaskThatWasLostAndRedeliveredHereStartsOver(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 1)
	handler := newHandler()
	h.run(handler, 10)
	h.waitHeld(handler, 1)
	h.server.Stop()
	outage := time.NewTimer(2 * ackWait)
	<-outage.C
	h.server.Restart()
	natstest.Eventually(t, func() error {
		if n := h.info().NumRedelivered; n != 1 {
			return fmt.Errorf("got %d redelivered, want 1", n)
		}
		return nil
	})
	began := time.Now()
	handler.verdicts <- task.ErrNotOwner
	natstest.Eventually(t, func() error {
		if got := handler.seen()[1]; got != 2 {
			return fmt.Errorf("got it handled %d times, want twice", got)
		}
		return nil
	})
	if took := time.Since(began); took > ackWait*9/10 {
		t.Errorf("it started over after %v, want at once", took)
	}
}
