package hostile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// attack is a number of messages of one kind, and what the API answers to them.
type attack struct {
	n       int                // messages
	request func(i int) string // the message with that number; nil: a plain request of the plan "attack"
	headers []string           // names and values in turn
	answers anchortest.Plan    // of the plan "attack"
	want    []task.Code        // how the messages may end; empty is success
	beside  func(w *world)     // something that happens while they are answered
	within  time.Duration      // how long all may take; 0: two minutes
}

const attackPlan = "attack"

// run sends the messages to a worker in a pod and judges what becomes of them and of honest tasks beside them.
func (a attack) run(t *testing.T, settings ...string) {
	t.Helper()
	w := newWorld(t)
	w.has(attackPlan, a.answers)
	w.start(settings...)
	stop := func() {}
	if a.beside == nil { // what happens may hold up all that came before
		stop = w.neighbors()
		defer stop()
	}
	for i := range a.n {
		if a.request == nil {
			w.publish(request(fmt.Sprint("attack-", i), attackPlan), a.headers...)
		} else {
			w.publish(a.request(i), a.headers...)
		}
	}
	if a.beside != nil {
		a.beside(w)
		stop = w.neighbors()
		defer stop()
	}
	within := a.within
	if within == 0 {
		within = 2 * time.Minute
	}
	w.answered(a.n, within)
	stop()
	others := w.judgeNeighbors(w.await(time.Minute))
	if len(others) != a.n {
		t.Errorf("got %d events of %d messages", len(others), a.n)
	}
	for _, ev := range others {
		ended(t, ev, a.want...)
	}
	w.survived()
}

// answered waits until there are that many events besides those of honest tasks, and fails the test when the time is
// over or the worker has died.
func (w *world) answered(n int, within time.Duration) {
	w.t.Helper()
	for began := time.Now(); ; pause(w.t, 100*time.Millisecond) {
		got := 0
		for _, ev := range w.events.all() {
			if !strings.HasPrefix(ev.taskID, honestID) {
				got++
			}
		}
		if got >= n {
			return
		}
		if err := w.worker.Running(); err != nil {
			w.t.Fatalf("%d events of %d messages, and %v", got, n, err)
		}
		if time.Since(began) > within || w.t.Context().Err() != nil {
			w.t.Fatalf("%d events of %d messages after %v", got, n, within)
		}
	}
}
