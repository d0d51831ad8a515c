package app_test

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// A worker that dies in the middle of a POST leaves a record in the state submitting: the outcome is unknown.
func TestACrashInTheMiddleOfASubmissionIsReportedAndNotRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.startReady("w1")
	slow := anchortest.Plan{Submit: []anchortest.Fault{{After: time.Minute}}}
	w.submit("a", slow)
	w.waitAccepted("a", slow)
	first.kill()
	w.startReady("w2")
	if ev := w.waitEvents(1)[0]; ev.code() != task.SubmissionUnknown || ev.Attempts != 1 {
		t.Errorf("got %+v, want submission_unknown", ev.Event)
	}
	w.waitQuiet()
	if log := w.seen("a", slow); log.Posts != 1 {
		t.Errorf("got %d POSTs, want 1", log.Posts)
	}
}

func TestACrashInTheMiddleOfASubmissionIsRepeatedOnceIfAllowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.startReady("w1")
	slow := anchortest.Plan{Submit: []anchortest.Fault{{After: time.Minute}}, Result: json.RawMessage(`"ok"`)}
	w.submit("a", slow, `"on_unknown_submission":"resubmit"`)
	w.waitAccepted("a", slow)
	first.kill()
	w.startReady("w2")
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded || ev.Attempts != 2 {
		t.Errorf("got %+v, want success at the second attempt", ev.Event)
	}
}

// A worker that is disconnected from NATS when the answer arrives is alive. The worker that takes over waits for it to
// record the answer.
func TestAnOutageInTheMiddleOfASubmissionLosesNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.startReady("w2")
	slow := anchortest.Plan{Submit: []anchortest.Fault{{After: time.Second}}, Result: json.RawMessage(`"ok"`)}
	w.submit("a", slow)
	w.waitAccepted("a", slow)
	w.nats.Stop()
	pause(t, 3*time.Second) // longer than ACK_WAIT, so that the request is redelivered
	w.nats.Restart()
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded || ev.Attempts != 1 {
		t.Errorf("got %+v, want success at the first attempt", ev.Event)
	}
	w.waitQuiet()
}

// A worker is stopped for longer than ACK_WAIT. When it continues, another worker owns its tasks, and it does nothing more
// with them.
func TestAWorkerThatStallsAndComesBackDoesNoHarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stalled := w.startReady("w1")
	for i := range 10 {
		w.submit(fmt.Sprint("t", i), blocked)
	}
	for i := range 10 {
		w.waitState(fmt.Sprint("t", i), task.Running)
	}
	stalled.signal(syscall.SIGSTOP)
	w.startReady("w2")
	for i := range 10 {
		w.waitTakenOver(fmt.Sprint("t", i))
	}
	stalled.signal(syscall.SIGCONT)
	w.api.ReleaseAll()
	for _, ev := range w.waitEvents(10) {
		if ev.Worker != "w2" {
			t.Errorf("got an event of %s, want only w2's", ev.Worker)
		}
	}
	w.waitQuiet()
	if n := len(w.events()); n != 10 {
		t.Errorf("got %d events, want 10", n)
	}
}
