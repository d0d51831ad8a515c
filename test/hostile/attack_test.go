package hostile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// attack is n messages of one kind, and the API's answers to them.
type attack struct {
	n       int                // messages
	request func(i int) string // the message with that number; nil: a plain request
	headers []string           // names and values in turn
	answers anchortest.Plan    // what the API does with the tasks
	want    []task.Code        // how the messages may end; empty is success
	during  func(w *world)     // something that happens while they are answered; nil: nothing
	within  time.Duration      // how long all may take; 0: two minutes
}

const attackPlan = "attack"

// run sends the messages to a worker in a pod, with honest tasks among them, and checks how all of them end.
func (a attack) run(t *testing.T, settings ...string) {
	t.Helper()
	w := newWorld(t)
	w.setPlan(attackPlan, a.answers)
	w.start(settings...)
	stop := func() {}
	if a.during == nil { // otherwise earlier honest tasks may be late
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
	if a.during != nil {
		a.during(w)
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

// answered waits for n events that are not of honest tasks. It fails the test when the time is over or the worker has died.
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
