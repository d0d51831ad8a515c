package app_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// counts compares samples of a worker's metrics with what they should be.
func (p *worker) counts(want map[string]float64) error {
	p.t.Helper()
	var wrong []error
	for name, value := range want {
		if got := p.metric(name); got != value {
			wrong = append(wrong, fmt.Errorf("%s: got %v, want %v", name, got, value))
		}
	}
	return errors.Join(wrong...)
}

// Each task is counted once: one that is taken over from a dead worker, one that succeeds, one that fails, and two that a
// drain hands over.
func TestTheMetricsCountWhatHappened(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	settings := []string{"ACK_WAIT=5s", "ANCHORBROWSER_REQUEST_TIMEOUT=30s", "DRAIN_TIMEOUT=50s"}
	dead := w.startReady("w1", settings...)
	w.submit("taken", blocked)
	w.waitState("taken", task.Running)
	dead.kill()
	p := w.startReady("w2", settings...)
	w.waitTakenOver("taken")
	w.release("taken")
	w.submit("good", done)
	w.submit("bad", anchortest.Plan{State: "FAILED", Error: "no"})
	w.waitEvents(3)
	w.waitQuiet()
	natstest.Eventually(t, func() error {
		return p.counts(map[string]float64{
			`capstan_tasks_total{code="none",status="succeeded"}`:         2,
			`capstan_tasks_total{code="workflow_failed",status="failed"}`: 1,
			`capstan_tasks_total{code="agent_failed",status="failed"}`:    0,
			`capstan_requests_released_total{verdict="acked"}`:            3,
			`capstan_requests_released_total{verdict="handed_over"}`:      0,
			`capstan_deliveries_total`:                                    3,
			`capstan_redeliveries_total`:                                  1,
			`capstan_takeovers_total`:                                     1,
			`capstan_task_queued_seconds_count`:                           2, // the other worker submitted the third
			`capstan_task_run_seconds_count`:                              3,
			`capstan_task_detected_seconds_count`:                         3,
		})
	})

	for _, id := range []string{"long0", "long1"} {
		w.submit(id, running(time.Minute))
		w.waitState(id, task.Running)
	}
	slow := anchortest.Plan{Submit: []anchortest.Fault{{After: 12 * time.Second}}, Run: time.Minute}
	w.submit("slow", slow) // its POST keeps the worker alive, so that its metrics can be read
	w.waitAccepted("slow", slow)
	p.signal(syscall.SIGTERM)
	natstest.Eventually(t, func() error {
		return p.counts(map[string]float64{
			`capstan_requests_released_total{verdict="handed_over"}`: 2,
			`capstan_requests_released_total{verdict="acked"}`:       3,
			`capstan_requests_in_progress`:                           1,
			`capstan_task_queued_seconds_count`:                      4,
			`capstan_task_run_seconds_count`:                         3,
		})
	})
	p.waitExit()
}
