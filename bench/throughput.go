package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/bench/standin"
	"github.com/capstan-worker/capstan/test/process"
)

// throughputTasks are the tasks of one run.
const throughputTasks = 40_000

// contender is what is measured: the worker or the floor.
type contender struct {
	name    string
	program string
}

func (l *lab) contenders() [2]contender {
	return [2]contender{{"worker", l.worker}, {"floor", l.floor}}
}

// flow is what one run of tasks through a queue came to.
type flow struct {
	rate             float64 // tasks a second
	cpu, server, api float64 // µs of processor time a task
}

// crowd is how many tasks, and POSTs of them, worker and floor have under way at once.
type crowd struct {
	name            string
	inFlight, posts int
}

func (c crowd) settings() []string {
	return append(quickPolls(), fmt.Sprintf("MAX_IN_FLIGHT=%d", c.inFlight), fmt.Sprintf("SUBMIT_CONCURRENCY=%d", c.posts))
}

// crowds returns what keeps both cores busy, and the default, with which most tasks wait for one of the POSTs.
func crowds() (busy, usual crowd) { return crowd{"", 256, 64}, crowd{"by default, ", 1000, 16} }

func throughput(ctx context.Context, l *lab) ([]figure.Row, error) {
	busy, usual := crowds()
	rows, err := l.flows(ctx, busy, figure.Goal{Least: 0.85}, figure.Goal{Most: 1.25})
	if err != nil {
		return nil, err
	}
	more, err := l.flows(ctx, usual, figure.Goal{}, figure.Goal{})
	return append(rows, more...), err
}

// flows compares worker and floor with one crowd.
func (l *lab) flows(ctx context.Context, crowd crowd, rate, cpu figure.Goal) ([]figure.Row, error) {
	n := throughputTasks
	if l.tasks > 0 {
		n = l.tasks
	}
	var flows [2][]flow
	for round := range l.rounds {
		for i, c := range l.contenders() {
			f, err := l.flow(ctx, c, n, crowd.settings()...)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			fmt.Printf("round %d  %s%-6s  %6.0f tasks/s  CPU a task: %3.0f µs, NATS %3.0f µs, API %3.0f µs\n",
				round+1, crowd.name, c.name, f.rate, f.cpu, f.server, f.api)
			flows[i] = append(flows[i], f)
		}
	}
	row := func(what, unit string, goal figure.Goal, value func(flow) float64) figure.Row {
		return figure.Row{
			What: crowd.name + what, Unit: unit, Goal: goal,
			Of: "worker", Values: each(flows[0], value), Than: "floor", Others: each(flows[1], value),
		}
	}
	return []figure.Row{
		row("throughput", "tasks/s", rate, func(f flow) float64 { return f.rate }),
		row("CPU a task", "µs", cpu, func(f flow) float64 { return f.cpu }),
		row("CPU a task of NATS", "µs", figure.Goal{}, func(f flow) float64 { return f.server }),
		row("CPU a task of the stand-in", "µs", figure.Goal{}, func(f flow) float64 { return f.api }),
	}, nil
}

// flow runs n tasks of a stored queue through the contender. What it takes to start is not looked at.
func (l *lab) flow(ctx context.Context, c contender, n int, settings ...string) (flow, error) {
	w, err := l.newWorld(ctx, standin.Config{})
	defer w.close()
	if err == nil {
		err = w.fill(ctx, "task", n)
	}
	if err != nil {
		return flow{}, err
	}
	p, err := w.launch(ctx, c.name, c.program, settings...)
	if err != nil {
		return flow{}, err
	}
	begun := 0
	err = process.Until(ctx, "a tenth of the tasks is done", time.Minute, func() error {
		if begun, err = w.messages(ctx, resultStream); err == nil && begun < n/10 {
			err = fmt.Errorf("there are %d events", begun)
		}
		return errors.Join(err, p.Running())
	})
	if err != nil {
		return flow{}, err
	}
	before, err := w.times(p, w.server, w.api)
	if err != nil {
		return flow{}, err
	}
	if err := w.settled(ctx, p, n); err != nil {
		return flow{}, err
	}
	after, err := w.times(p, w.server, w.api)
	if err != nil {
		return flow{}, err
	}
	rate, err := w.rate(ctx, n/10, n)
	took := func(i int) float64 { return float64((after[i] - before[i]).Microseconds()) / float64(n-begun) }
	return flow{rate: rate, cpu: took(0), server: took(1), api: took(2)}, err
}

// settled waits until n events are stored and no request is left.
func (w *world) settled(ctx context.Context, p *process.Process, n int) error {
	return process.Until(ctx, fmt.Sprintf("%d tasks are done with", n), 5*time.Minute, func() error {
		if err := p.Running(); err != nil {
			return err
		}
		requests, err := w.messages(ctx, requestStream)
		if err != nil {
			return err
		}
		events, err := w.messages(ctx, resultStream)
		if err != nil {
			return err
		}
		if requests > 0 || events != n {
			return fmt.Errorf("%d requests are left, and there are %d events", requests, events)
		}
		return nil
	})
}

// rate is how many events a second were stored between two of them.
func (w *world) rate(ctx context.Context, first, last int) (float64, error) {
	from, err := w.storedAt(ctx, max(1, first))
	if err != nil {
		return 0, err
	}
	to, err := w.storedAt(ctx, last)
	if err != nil {
		return 0, err
	}
	return float64(last-first) / to.Sub(from).Seconds(), nil
}

// times are the processor times of processes so far.
func (*world) times(processes ...*process.Process) ([]time.Duration, error) {
	var all []time.Duration
	for _, p := range processes {
		t, err := cpuOf(p)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// each returns one value of each.
func each[T any](all []T, value func(T) float64) []float64 {
	var values []float64
	for _, one := range all {
		values = append(values, value(one))
	}
	return values
}
