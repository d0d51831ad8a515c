package app_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestReadinessSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1")
	p.ready("streams: bound")
	w.nats.Stop()
	p.notReady("nats: RECONNECTING")
	w.nats.Restart()
	p.ready("nats: CONNECTED")
}

// Without credits a worker keeps its task, reports why, and resumes by itself. It stays ready, so that a rollout or the drain
// of a node can continue.
func TestAWorkerWithoutCreditsIsReadyAndSaysWhyItIsPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1")
	w.api.FailAll(anchortest.Answer(402))
	w.submit("a", done)
	p.ready("no_credits")
	if got := p.get("/metrics"); strings.Contains(got, `capstan_pauses_total{reason="no_credits"} 0`) {
		t.Error("the metrics do not report the pause")
	}
	w.api.Recover()
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded {
		t.Errorf("got %+v", ev.Event)
	}
	p.ready("submissions: ok")
}

// A worker that drains is not ready, for as long as a running POST keeps it alive.
func TestReadinessSaysThatAWorkerDrains(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1", "ANCHORBROWSER_REQUEST_TIMEOUT=20s", "DRAIN_TIMEOUT=30s")
	slow := anchortest.Plan{Submit: []anchortest.Fault{{After: 8 * time.Second}}, Run: time.Minute}
	w.submit("a", slow)
	w.waitAccepted("a", slow)
	p.signal(syscall.SIGTERM)
	p.notReady("work: draining")
	p.waitExit()
	if rec := w.record("a"); rec.State != task.Running {
		t.Errorf("got record %+v, want the POST's answer in it", rec)
	}
}
