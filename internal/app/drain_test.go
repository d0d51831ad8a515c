package app_test

import (
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// drainWithoutNATS starts w1, which runs task a, and stops NATS and then w1.
func (w *world) drainWithoutNATS(settings ...string) *worker {
	w.t.Helper()
	p := w.startReady("w1", settings...)
	w.submit("a", blocked)
	w.waitState("a", task.Running)
	w.nats.Stop()
	p.signal(syscall.SIGTERM)
	return p
}

// A worker that is stopped while NATS is down hands over its tasks as soon as NATS is back.
func TestADrainWaitsForNATS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.drainWithoutNATS("ACK_WAIT=60s")
	natstest.Eventually(t, func() error { return p.logged("could not hand over tasks") })
	w.nats.Restart()
	if err := <-p.exited; err != nil {
		t.Errorf("worker exited with %v, want 0", err)
	}
	w.startReady("w2", "ACK_WAIT=60s")
	w.release("a")
	began := time.Now()
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded || ev.Worker != "w2" {
		t.Errorf("got %+v, want w2's success", ev.Event)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("got the event after %v: the request came back only after ACK_WAIT", took)
	}
}

// A worker that cannot hand over its tasks in time exits with 1, and others get them after ACK_WAIT. ACK_WAIT is longer than
// DRAIN_TIMEOUT here, because an expired lease need not be handed over.
func TestADrainThatIsTooLongIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.drainWithoutNATS("DRAIN_TIMEOUT=4s", "ACK_WAIT=10s")
	exit, ok := errors.AsType[*exec.ExitError](<-p.exited)
	if !ok || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", exit)
	}
	if err := errors.Join(p.logged("tasks not handed over"), p.logged(fmt.Sprint(app.ErrDrainTimeout))); err != nil {
		t.Error(err)
	}
	w.nats.Restart()
	w.startReady("w2", "ACK_WAIT=10s")
	w.release("a")
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded || ev.Worker != "w2" {
		t.Errorf("got %+v, want w2's success", ev.Event)
	}
}
