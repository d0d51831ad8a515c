package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/process"
)

const (
	// mostHeld is the largest MAX_IN_FLIGHT_TOTAL.
	mostHeld = 100_000

	// restTime is how long tasks are held and polled before the memory counts. Memory that a worker no longer needs stays
	// resident for minutes: Go collects garbage every two minutes at least, shrinks stacks only then, and returns
	// freed memory to the system little by little.
	restTime = 5 * time.Minute

	// pollRate is how many polls a second all tasks get together.
	pollRate = 100
)

// holding runs once for each size, because other load on the machine hardly affects memory.
func holding(ctx context.Context, l *lab) {
	sizes := []int{1000, 10_000, mostHeld}
	if l.tasks > 0 {
		sizes = []int{l.tasks}
	}
	for _, n := range sizes {
		l.hold(ctx, n)
		l.pause(ctx, n)
	}
	l.report.Rows[1].Headline = fmt.Sprintf("of memory for a worker with %s tasks in progress", figure.Short(float64(sizes[0])))
}

// addHeld adds a value of a worker with n tasks.
func (l *lab) addHeld(n int, what, unit string, value float64, goal figure.Goal) {
	l.add("worker", value, figure.Row{What: fmt.Sprintf("%s tasks: %s", figure.Short(float64(n)), what), Unit: unit, Goal: goal})
}

// holdSettings give a worker room for n new tasks, beyond the tenth of its slots that is reserved. It polls none of
// them.
func holdSettings(n int) []string {
	return []string{
		fmt.Sprintf("MAX_IN_FLIGHT=%d", n*10/9+10), fmt.Sprintf("MAX_IN_FLIGHT_TOTAL=%d", n), "TASK_TIMEOUT=2h",
		"POLL_INTERVAL=1h", "POLL_MAX_INTERVAL=1h",
	}
}

// hold measures a worker that submits n tasks and another that takes them over and polls them. The poll rate
// also limits submissions, so the worker that submits must not have it.
func (l *lab) hold(ctx context.Context, n int) {
	settings := holdSettings(n)
	w := l.newWorld(ctx, settings...)
	defer w.close()
	p := w.startWorker(ctx, "fresh", settings...)
	fresh := mebibytes(p)
	l.addHeld(n, "memory of a worker that has just started", "MiB", fresh, figure.Goal{})
	w.stop(ctx, p)

	w.publish(ctx, n, func(i int) []byte { return request(taskID(i), "", &anchortest.Plan{Block: true}) })
	began := time.Now()
	p = w.startWorker(ctx, "submitter", settings...)
	atLeast(ctx, p, workflowsWaiting, n)
	rate, submitted := float64(n)/time.Since(began).Seconds(), mebibytes(p)
	w.stop(ctx, p)

	p = w.startWorker(ctx, "poller", append(settings, "POLL_INTERVAL=2s", "POLL_MAX_INTERVAL=15s", fmt.Sprintf("ANCHORBROWSER_RATE_LIMIT=%d", pollRate))...)
	atLeast(ctx, p, workflowsWaiting, n)
	w.rest(ctx, p, n, fresh)
	l.addHeld(n, "memory, just submitted", "MiB", submitted, figure.Goal{})
	l.addHeld(n, "start until all are submitted", "tasks/s", rate, figure.Goal{Least: 1500})
}

// rest measures a worker while it polls n tasks. fresh is the memory of a worker without tasks, in MiB.
func (w *world) rest(ctx context.Context, p *process.Process, n int, fresh float64) {
	type observation struct{ cpu, polls, redelivered float64 }
	observe := func() observation {
		return observation{
			process.Must(p.CPU()).Seconds(), float64(process.Must(w.api.Totals(ctx)).Polls), process.Must(p.Metric(ctx, "capstan_redeliveries_total")),
		}
	}
	before := observe()
	process.Check(process.Pass(ctx, restTime))
	after, polled := observe(), mebibytes(p)
	heap := process.Must(p.Metric(ctx, "go_memstats_heap_alloc_bytes"))
	var perTask figure.Goal
	if n == mostHeld { // with few tasks the worker's own memory outweighs theirs
		perTask.Most = 8
	}
	w.addHeld(n, "memory, polled", "MiB", polled, figure.Goal{})
	w.addHeld(n, "beyond the first, a task", "KiB", (polled-fresh)*1024/float64(n), perTask)
	w.addHeld(n, "heap in use, polled, a task", "KiB", heap/1024/float64(n), figure.Goal{})
	w.addHeld(n, "CPU, polled", "% of a core", 100*(after.cpu-before.cpu)/restTime.Seconds(), figure.Goal{Most: 15})
	w.addHeld(n, "polls", "/s", (after.polls-before.polls)/restTime.Seconds(), figure.Goal{})
	w.addHeld(n, "redelivered while polled", "tasks", after.redelivered-before.redelivered, figure.Goal{})
}

// pause measures a worker whose n tasks all wait to be submitted. Its rate lets hardly any leave.
func (l *lab) pause(ctx context.Context, n int) {
	settings := append(holdSettings(n), "ANCHORBROWSER_RATE_LIMIT=0.01")
	w := l.newWorld(ctx, settings...)
	defer w.close()
	w.publish(ctx, n, func(i int) []byte { return request(taskID(i), "", nil) })
	p := w.startWorker(ctx, "paused", settings...)
	atLeast(ctx, p, "capstan_submissions_waiting", n-1) // one has left
	l.addHeld(n, "memory, just begun to wait to be submitted", "MiB", mebibytes(p), figure.Goal{})
	process.Check(process.Pass(ctx, restTime))
	l.addHeld(n, "memory, waiting to be submitted", "MiB", mebibytes(p), figure.Goal{})
}

// workflowsWaiting is a worker's metric: the workflows that it polls.
const workflowsWaiting = "capstan_workflows_waiting"

// atLeast waits until a worker's metric has reached a value.
func atLeast(ctx context.Context, p *process.Process, name string, least int) {
	process.Check(process.Until(ctx, fmt.Sprintf("%s is %d", name, least), 5*time.Minute, func() error {
		value, err := p.Metric(ctx, name)
		if err == nil && int(value) < least {
			err = fmt.Errorf("it is %v", value)
		}
		return errors.Join(err, p.Running())
	}))
}

// mebibytes returns the resident memory of a process.
func mebibytes(p *process.Process) float64 { return float64(process.Must(p.Memory())) / (1 << 20) }
