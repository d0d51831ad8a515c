package app_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// overhear subscribes to a subject. heard returns the messages that arrived since the last call.
func (w *world) overhear(subject string) (heard func() []*nats.Msg) {
	w.t.Helper()
	sub, err := w.nc.SubscribeSync(subject)
	if err == nil {
		err = w.nc.Flush()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return func() (all []*nats.Msg) {
		w.t.Helper()
		n, _, err := sub.Pending()
		if err != nil {
			w.t.Fatal(err)
		}
		for range n {
			msg, err := sub.NextMsg(time.Minute)
			if err != nil {
				w.t.Fatal(err)
			}
			all = append(all, msg)
		}
		return all
	}
}

// waitsUnsubmitted waits until a task's record has the state waiting, and then checks that there was no POST for it.
func (w *world) waitsUnsubmitted(id string, plan anchortest.Plan) {
	w.t.Helper()
	rec := w.waitState(id, task.Waiting)
	if n := w.seen(id, plan).Posts; n != 0 || rec.Attempts != 0 {
		w.t.Errorf("got %d POSTs and %d attempts of a task that waits, want none", n, rec.Attempts)
	}
}

// A task waits for its turn before its record says submitting, so that a crash leaves no doubt. It waits in the worker: a
// pause returns no request to the queue.
func TestATaskWaitsForTheEndOfAPauseAndIsNotReturned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1")
	answers, records := w.overhear("$JS.ACK.>"), w.overhear("$KV.task_tracker.next")
	w.submit("pauses", faulty(withHeader(anchortest.Answer(429), "Retry-After", "8")))
	natstest.Eventually(t, func() error { return p.logged("submissions paused") })
	w.submit("next", done)
	w.waitsUnsubmitted("next", done)
	w.waitState("pauses", task.Waiting)

	said := map[string]int{}
	natstest.Eventually(t, func() error { // two bursts of heartbeats for both
		for _, msg := range answers() {
			said[string(msg.Data)]++
		}
		if said["+WPI"] < 4 {
			return fmt.Errorf("got answers %v to deliveries, want heartbeats", said)
		}
		return nil
	})
	w.waitEvents(2)
	w.waitQuiet()
	for _, msg := range answers() {
		said[string(msg.Data)]++
	}
	if said["-NAK"] != 0 {
		t.Errorf("got answers %v to deliveries, want none given back", said)
	}
	if got, want := states(t, records()), []task.State{task.Waiting, task.Submitting, task.Running, task.Succeeded}; !slices.Equal(got, want) {
		t.Errorf("got states %v, want %v", got, want)
	}
}

// states returns the states in the writes of a record.
func states(t *testing.T, writes []*nats.Msg) (all []task.State) {
	t.Helper()
	for _, msg := range writes {
		rec, err := task.ParseRecord(msg.Data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec.State)
	}
	return all
}

func TestATaskWaitsForATokenOfTheRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1", "ANCHORBROWSER_RATE_LIMIT=0.1")
	first := running(time.Minute)
	w.submit("first", first)
	w.waitState("first", task.Running)
	w.submit("next", done)
	w.waitsUnsubmitted("next", done)
	p.ready("submissions: ok")
}

func TestATaskWaitsForASlotAmongThePOSTs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1", "SUBMIT_CONCURRENCY=1", "ANCHORBROWSER_REQUEST_TIMEOUT=1m", "DRAIN_TIMEOUT=90s")
	hangs := faulty(anchortest.Hang())
	w.submit("hangs", hangs)
	natstest.Eventually(t, func() error {
		if w.seen("hangs", hangs).Posts == 0 {
			return fmt.Errorf("no POST has come")
		}
		return nil
	})
	w.submit("next", done)
	w.waitsUnsubmitted("next", done)
	if rec := w.record("hangs"); rec.State != task.Submitting {
		t.Errorf("got record %+v of the POST that hangs, want submitting", rec)
	}
	if got := p.metric("capstan_submit_slots_in_use"); got != 1 {
		t.Errorf("got %v slots in use, want 1", got)
	}
}
