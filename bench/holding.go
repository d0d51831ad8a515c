package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/test/process"
)

const (
	// mostHeld is the largest MAX_IN_FLIGHT_TOTAL.
	mostHeld = 100_000

	// holdTime is how long tasks are held while the processor time is measured: two bursts of heartbeats.
	holdTime = 45 * time.Second

	// pollRate is how many polls a second are made of all tasks held together.
	pollRate = 100
)

// holdSettings let a worker hold n new tasks, beside the tenth of its slots that is not for those. While they
// begin none is polled.
func holdSettings(n int) []string {
	return []string{
		fmt.Sprintf("MAX_IN_FLIGHT=%d", n*10/9+10), fmt.Sprintf("MAX_IN_FLIGHT_TOTAL=%d", n), "TASK_TIMEOUT=2h",
		"POLL_INTERVAL=1h", "POLL_MAX_INTERVAL=1h",
	}
}

// hold is what tasks that are held came to.
type hold struct {
	fresh, idle float64 // resident MiB of a worker that has just started, and of one that has worked
	filled      float64 // resident KiB a task, on top of an idle worker: just after all began
	memory      float64 // the same while they are polled, by a worker that took them over
	paused      float64 // the same while all wait to be submitted
	stack, heap float64 // KiB a task; of the heap what was reachable at the latest collection
	cpu         float64 // % of a core
	rate        float64 // tasks a second, from the start to all held
	polls       float64 // a second
	redelivered float64
	errors      float64
}

func holding(ctx context.Context, l *lab) ([]figure.Row, error) {
	sizes := []int{1000, 10_000, mostHeld}
	if l.atOnce > 0 {
		sizes = []int{l.atOnce}
	}
	var rows []figure.Row
	for _, n := range sizes {
		var holds []hold
		for round := range holdRounds {
			h, err := l.hold(ctx, n)
			if err != nil {
				return nil, fmt.Errorf("%d held: %w", n, err)
			}
			fmt.Printf("%d held, round %d: %+v\n", n, round+1, h)
			holds = append(holds, h)
		}
		rows = append(rows, holdRows(n, holds)...)
	}
	return rows, nil
}

// holdRounds is one: memory and processor time are measured here, which a busy machine hardly changes.
const holdRounds = 1

func holdRows(n int, holds []hold) []figure.Row {
	row := func(what, unit string, goal figure.Goal, value func(hold) float64) figure.Row {
		return figure.Row{What: fmt.Sprintf("%s tasks held: %s", figure.Short(float64(n)), what), Unit: unit, Of: "worker", Goal: goal, Values: each(holds, value)}
	}
	return []figure.Row{
		row("resident memory of a worker that has just started", "MiB", figure.Goal{}, func(h hold) float64 { return h.fresh }),
		row("of an idle one that has worked", "MiB", figure.Goal{}, func(h hold) float64 { return h.idle }),
		row("beyond that a task, just begun", "KiB", figure.Goal{}, func(h hold) float64 { return h.filled }),
		row("beyond that a task, polled", "KiB", figure.Goal{Most: 6}, func(h hold) float64 { return h.memory }),
		row("beyond that a task, waiting to be submitted", "KiB", figure.Goal{}, func(h hold) float64 { return h.paused }),
		row("stacks, a task that is polled", "KiB", figure.Goal{}, func(h hold) float64 { return h.stack }),
		row("heap in use, a task that is polled", "KiB", figure.Goal{}, func(h hold) float64 { return h.heap }),
		row("CPU", "% of a core", figure.Goal{Most: 15}, func(h hold) float64 { return h.cpu }),
		row("polls", "/s", figure.Goal{}, func(h hold) float64 { return h.polls }),
		row("start to all held", "tasks/s", figure.Goal{Least: 1500}, func(h hold) float64 { return h.rate }),
		row("delivered again once they were held", "tasks", figure.Goal{}, func(h hold) float64 { return h.redelivered }),
		row("warnings and errors in the log once they were held, a missed heartbeat among them", "lines", figure.Goal{}, func(h hold) float64 { return h.errors }),
	}
}

// hold lets a worker hold n tasks and measures.
func (l *lab) hold(ctx context.Context, n int) (h hold, err error) {
	settings := holdSettings(n)
	fresh, idle, err := l.idle(ctx, settings)
	if err != nil {
		return h, err
	}
	h.fresh, h.idle = fresh/(1<<20), idle/(1<<20)
	w, err := l.newWorld(ctx, standin.Config{Hold: true}, settings...)
	defer w.close()
	if err == nil {
		err = w.fill(ctx, "task", n)
	}
	if err != nil {
		return h, err
	}
	began := time.Now()
	p, err := w.startWorker(ctx, "holder", settings...)
	if err != nil {
		return h, err
	}
	if err := held(ctx, p, n); err != nil {
		return h, err
	}
	h.rate = float64(n) / time.Since(began).Seconds()
	full, err := memoryOf(p)
	if err != nil {
		return h, err
	}
	h.filled = (full - idle) / 1024 / float64(n)
	if err := w.stop(ctx, p); err != nil {
		return h, err
	}
	if p, err = w.startWorker(ctx, "poller", pollSettings(settings)...); err != nil {
		return h, err
	}
	if err := held(ctx, p, n); err != nil {
		return h, err
	}
	if err := w.rest(ctx, p, n, idle, &h); err != nil {
		return h, err
	}
	paused, err := l.paused(ctx, n)
	h.paused = (paused - idle) / 1024 / float64(n)
	return h, err
}

// paused is the resident memory of a worker whose tasks all wait to be submitted, as they do in a pause: here the rate
// lets hardly any leave. In bytes.
func (l *lab) paused(ctx context.Context, n int) (float64, error) {
	settings := append(holdSettings(n), "ANCHORBROWSER_RATE_LIMIT=0.01")
	w, err := l.newWorld(ctx, standin.Config{}, settings...)
	defer w.close()
	if err == nil {
		err = w.fill(ctx, "task", n)
	}
	if err != nil {
		return 0, err
	}
	p, err := w.startWorker(ctx, "paused", settings...)
	if err != nil {
		return 0, err
	}
	if err := reaches(ctx, p, "capstan_submissions_waiting", n-1); err != nil { // one has left
		return 0, err
	}
	return memoryOf(p)
}

// A worker has run that many tasks, so many at once, before it counts as idle: its heap then has the room that it
// works with.
const idleAfter, idleAtOnce = 5000, 100

// idle is the resident memory of a worker that holds nothing, in bytes: when it has just started, and when it has worked.
func (l *lab) idle(ctx context.Context, settings []string) (fresh, worked float64, err error) {
	w, err := l.newWorld(ctx, standin.Config{}, settings...)
	defer w.close()
	if err != nil {
		return 0, 0, err
	}
	p, err := w.startWorker(ctx, "worker", slices.Concat(settings, quickPolls(), []string{fmt.Sprintf("MAX_IN_FLIGHT=%d", idleAtOnce)})...)
	if err != nil {
		return 0, 0, err
	}
	if fresh, err = memoryOf(p); err != nil {
		return 0, 0, err
	}
	if err := w.fill(ctx, "task", idleAfter); err != nil {
		return 0, 0, err
	}
	if err := w.settled(ctx, p, idleAfter); err != nil {
		return 0, 0, err
	}
	worked, err = memoryOf(p)
	return fresh, worked, err
}

// pollSettings poll what another worker has begun: as often as usual, but for the rate. The rate is for
// submissions as well, so that tasks have to be begun without it.
func pollSettings(settings []string) []string {
	return append(slices.Clone(settings), "POLL_INTERVAL=2s", "POLL_MAX_INTERVAL=15s", fmt.Sprintf("ANCHORBROWSER_RATE_LIMIT=%d", pollRate))
}

// rest measures what it takes to hold.
func (w *world) rest(ctx context.Context, p *process.Process, n int, idle float64, h *hold) error {
	warned, err := warnings(p)
	if err != nil {
		return err
	}
	taken, err := metric(ctx, p, redeliveries)
	if err != nil {
		return err
	}
	before, err := cpuOf(p)
	if err != nil {
		return err
	}
	polls, err := w.counts(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := process.Pass(ctx, holdTime); err != nil {
		return err
	}
	after, err := cpuOf(p)
	if err != nil {
		return err
	}
	took := time.Since(began)
	resident, err := memoryOf(p)
	if err != nil {
		return err
	}
	now, err := w.counts(ctx)
	if err != nil {
		return err
	}
	h.cpu = 100 * (after - before).Seconds() / took.Seconds()
	h.memory = (resident - idle) / 1024 / float64(n)
	h.polls = float64(now.Polls-polls.Polls) / took.Seconds()
	if h.stack, err = metric(ctx, p, "go_memstats_stack_inuse_bytes"); err != nil {
		return err
	}
	if h.heap, err = metric(ctx, p, "go_memstats_heap_alloc_bytes"); err != nil {
		return err
	}
	h.stack, h.heap = h.stack/1024/float64(n), h.heap/1024/float64(n)
	again, err := metric(ctx, p, redeliveries)
	if err != nil {
		return err
	}
	h.redelivered = again - taken
	all, err := warnings(p)
	h.errors = all - warned
	return err
}

// redeliveries is a worker's count.
const redeliveries = "capstan_redeliveries_total"

// held waits until a worker waits for n workflows.
func held(ctx context.Context, p *process.Process, n int) error {
	return reaches(ctx, p, "capstan_workflows_waiting", n)
}

// reaches waits until a worker's metric is at least so large.
func reaches(ctx context.Context, p *process.Process, name string, least int) error {
	return process.Until(ctx, fmt.Sprintf("%s is %d", name, least), 5*time.Minute, func() error {
		if err := p.Running(); err != nil {
			return err
		}
		value, err := metric(ctx, p, name)
		if err == nil && int(value) < least {
			err = fmt.Errorf("it is %v", value)
		}
		return err
	})
}

// metric reads one number of a worker.
func metric(ctx context.Context, p *process.Process, name string) (float64, error) {
	text, err := ask(ctx, p, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, errors.New("there is no metric " + name)
}
