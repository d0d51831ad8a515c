package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
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

// hold is the result of one worker with many tasks.
type hold struct {
	fresh       float64 // resident MiB of a worker that has just started
	started     float64 // resident MiB when all tasks had just been submitted
	polled      float64 // resident MiB of a worker that has polled the tasks for restTime
	paused      float64 // resident MiB when all tasks wait to be submitted
	heap        float64 // KiB a task that were reachable at the latest garbage collection
	cpu         float64 // % of a core, while the tasks are polled
	polls       float64 // a second
	rate        float64 // tasks a second, from the start of the worker until it holds all
	redelivered float64 // tasks, while they were polled
	warnings    float64 // lines of the log, while they were polled
}

func holding(ctx context.Context, l *lab) ([]figure.Row, error) {
	sizes := []int{1000, 10_000, mostHeld}
	if l.tasks > 0 {
		sizes = []int{l.tasks}
	}
	var rows []figure.Row
	for _, n := range sizes {
		h, err := l.hold(ctx, n) // one round: other load on the machine hardly affects memory
		if err != nil {
			return nil, fmt.Errorf("%d tasks: %w", n, err)
		}
		rows = append(rows, holdRows(n, h)...)
	}
	rows[1].Headline = fmt.Sprintf("of memory for a worker with %s tasks in progress", figure.Short(float64(sizes[0])))
	return rows, nil
}

func holdRows(n int, h hold) []figure.Row {
	row := func(what, unit string, value float64, goal figure.Goal) figure.Row {
		return figure.Row{What: fmt.Sprintf("%s tasks: %s", figure.Short(float64(n)), what), Unit: unit, Of: "worker", Goal: goal, Values: []float64{value}}
	}
	perTask := func(mib float64) float64 { return (mib - h.fresh) * 1024 / float64(n) }
	var each figure.Goal
	if n == mostHeld { // with few tasks the worker's own memory outweighs theirs
		each.Most = 8
	}
	return []figure.Row{
		row("memory of a worker that has just started", "MiB", h.fresh, figure.Goal{}),
		row("memory, polled", "MiB", h.polled, figure.Goal{}),
		row("beyond the first, a task", "KiB", perTask(h.polled), each),
		row("memory, just submitted", "MiB", h.started, figure.Goal{}),
		row("memory, waiting to be submitted", "MiB", h.paused, figure.Goal{}),
		row("heap in use, polled, a task", "KiB", h.heap, figure.Goal{}),
		row("CPU, polled", "% of a core", h.cpu, figure.Goal{Most: 15}),
		row("polls", "/s", h.polls, figure.Goal{}),
		row("start until all are submitted", "tasks/s", h.rate, figure.Goal{Least: 1500}),
		row("redelivered while polled", "tasks", h.redelivered, figure.Goal{}),
		row("warnings and errors in the log while polled, such as missed heartbeats", "lines", h.warnings, figure.Goal{}),
	}
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
func (l *lab) hold(ctx context.Context, n int) (h hold, err error) {
	settings := holdSettings(n)
	w, err := l.newWorld(ctx, standin.Config{Hold: true}, settings...)
	defer w.close()
	if err != nil {
		return h, err
	}
	if h.fresh, err = w.freshMemory(ctx, settings); err != nil {
		return h, err
	}
	if err := w.publish(ctx, n, func(i int) []byte { return request(fmt.Sprintf("task-%07d", i)) }); err != nil {
		return h, err
	}
	began := time.Now()
	p, err := w.startWorker(ctx, "submitter", settings...)
	if err != nil {
		return h, err
	}
	if err := atLeast(ctx, p, workflowsWaiting, n); err != nil {
		return h, err
	}
	h.rate = float64(n) / time.Since(began).Seconds()
	if h.started, err = mebibytes(p); err != nil {
		return h, err
	}
	if err := w.stop(ctx, p); err != nil {
		return h, err
	}
	polling := append(slices.Clone(settings), "POLL_INTERVAL=2s", "POLL_MAX_INTERVAL=15s", fmt.Sprintf("ANCHORBROWSER_RATE_LIMIT=%d", pollRate))
	if p, err = w.startWorker(ctx, "poller", polling...); err != nil {
		return h, err
	}
	if err := atLeast(ctx, p, workflowsWaiting, n); err != nil {
		return h, err
	}
	if err := w.rest(ctx, p, n, &h); err != nil {
		return h, err
	}
	h.paused, err = l.paused(ctx, n)
	return h, err
}

// freshMemory returns the memory of a worker that has just started, in MiB.
func (w *world) freshMemory(ctx context.Context, settings []string) (float64, error) {
	p, err := w.startWorker(ctx, "fresh", settings...)
	if err != nil {
		return 0, err
	}
	memory, err := mebibytes(p)
	return memory, errors.Join(err, w.stop(ctx, p))
}

// rest measures a worker while it polls n tasks.
func (w *world) rest(ctx context.Context, p *process.Process, n int, h *hold) error {
	before, err := w.observe(ctx, p)
	if err != nil {
		return err
	}
	if err := process.Pass(ctx, restTime); err != nil {
		return err
	}
	after, err := w.observe(ctx, p)
	if err != nil {
		return err
	}
	seconds := after.at.Sub(before.at).Seconds()
	h.cpu = 100 * (after.cpu - before.cpu).Seconds() / seconds
	h.polls = float64(after.polls-before.polls) / seconds
	h.redelivered = after.redelivered - before.redelivered
	h.warnings = float64(after.warnings - before.warnings)
	if h.polled, err = mebibytes(p); err != nil {
		return err
	}
	heap, err := p.Metric(ctx, "go_memstats_heap_alloc_bytes")
	h.heap = heap / 1024 / float64(n)
	return err
}

// observation is what a worker has done so far.
type observation struct {
	at              time.Time
	cpu             time.Duration
	polls, warnings int
	redelivered     float64
}

func (w *world) observe(ctx context.Context, p *process.Process) (o observation, err error) {
	o.at = time.Now()
	if o.cpu, err = p.CPU(); err != nil {
		return o, err
	}
	if o.polls, err = w.polls(ctx); err != nil {
		return o, err
	}
	log, err := os.ReadFile(p.LogFile)
	if err != nil {
		return o, fmt.Errorf("read the log of %s: %w", p.Name, err)
	}
	o.warnings = bytes.Count(log, []byte(`"level":"warn"`)) + bytes.Count(log, []byte(`"level":"error"`))
	o.redelivered, err = p.Metric(ctx, "capstan_redeliveries_total")
	return o, err
}

// paused returns the memory of a worker whose n tasks all wait to be submitted, in MiB. Its rate lets hardly any leave.
func (l *lab) paused(ctx context.Context, n int) (float64, error) {
	settings := append(holdSettings(n), "ANCHORBROWSER_RATE_LIMIT=0.01")
	w, err := l.filledWorld(ctx, n, standin.Config{}, settings...)
	defer w.close()
	if err != nil {
		return 0, err
	}
	p, err := w.startWorker(ctx, "paused", settings...)
	if err != nil {
		return 0, err
	}
	if err := atLeast(ctx, p, "capstan_submissions_waiting", n-1); err != nil { // one has left
		return 0, err
	}
	return mebibytes(p)
}

// workflowsWaiting is a worker's metric: the workflows that it polls.
const workflowsWaiting = "capstan_workflows_waiting"

// atLeast waits until a worker's metric has reached a value.
func atLeast(ctx context.Context, p *process.Process, name string, least int) error {
	return process.Until(ctx, fmt.Sprintf("%s is %d", name, least), 5*time.Minute, func() error {
		value, err := p.Metric(ctx, name)
		if err == nil && int(value) < least {
			err = fmt.Errorf("it is %v", value)
		}
		return errors.Join(err, p.Running())
	})
}

// mebibytes returns the resident memory of a process.
func mebibytes(p *process.Process) (float64, error) {
	n, err := p.Memory()
	return float64(n) / (1 << 20), err
}
