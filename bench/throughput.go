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

// throughputTasks is the number of tasks in a run.
const throughputTasks = 40_000

// contender is a program that is measured: the worker or the floor.
type contender struct {
	name    string
	program string
}

func (l *lab) contenders() [2]contender {
	return [2]contender{{"worker", l.worker}, {"floor", l.floor}}
}

// flow is the result of one run of tasks through a queue.
type flow struct {
	rate             float64 // tasks a second
	cpu, server, api float64 // µs of processor time for each task
}

func throughput(ctx context.Context, l *lab) ([]figure.Row, error) {
	busy := append(quickPolls(), "MAX_IN_FLIGHT=256", "SUBMIT_CONCURRENCY=64") // keeps two cores busy
	rows, err := l.compareFlows(ctx, "", figure.Goal{Least: 0.80}, busy)
	if err != nil {
		return nil, err
	}
	rows[0].Headline = "through one worker, on two cores that it shares with NATS and a stand-in for the API"
	more, err := l.compareFlows(ctx, "by default, ", figure.Goal{Least: 0.75}, quickPolls())
	return append(rows, more...), err
}

// quickPolls are settings with which a worker asks for the end of a workflow at once.
func quickPolls() []string { return []string{"POLL_INTERVAL=1ms", "POLL_MAX_INTERVAL=1ms"} }

// compareFlows runs worker and floor in turn.
func (l *lab) compareFlows(ctx context.Context, label string, goal figure.Goal, settings []string) ([]figure.Row, error) {
	n := throughputTasks
	if l.tasks > 0 {
		n = l.tasks
	}
	var flows [2][]flow
	for round := range l.rounds {
		for i, c := range l.contenders() {
			f, err := l.flow(ctx, c, n, settings)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			fmt.Printf("round %d  %s%-6s  %6.0f tasks/s  CPU a task: %3.0f µs, NATS %3.0f µs, API %3.0f µs\n",
				round+1, label, c.name, f.rate, f.cpu, f.server, f.api)
			flows[i] = append(flows[i], f)
		}
	}
	row := func(what, unit string, goal figure.Goal, value func(flow) float64) figure.Row {
		return figure.Row{
			What: label + what, Unit: unit, Goal: goal,
			Of: "worker", Values: each(flows[0], value), Than: "floor", Others: each(flows[1], value),
		}
	}
	return []figure.Row{
		row("throughput", "tasks/s", goal, func(f flow) float64 { return f.rate }),
		row("CPU a task", "µs", figure.Goal{}, func(f flow) float64 { return f.cpu }),
		row("CPU a task of NATS", "µs", figure.Goal{}, func(f flow) float64 { return f.server }),
		row("CPU a task of the stand-in", "µs", figure.Goal{}, func(f flow) float64 { return f.api }),
	}, nil
}

// flow runs n stored tasks through the contender. The first tenth does not count, so that its start does not either.
func (l *lab) flow(ctx context.Context, c contender, n int, settings []string) (f flow, err error) {
	w, err := l.filledWorld(ctx, n, standin.Config{}, settings...)
	defer w.close()
	if err != nil {
		return f, err
	}
	p, err := w.launch(ctx, c.name, c.program, settings...)
	if err != nil {
		return f, err
	}
	finished := 0
	err = process.Until(ctx, "a tenth of the tasks has finished", time.Minute, func() error {
		if finished, err = w.messages(ctx, resultStream); err == nil && finished < n/10 {
			err = fmt.Errorf("there are %d events", finished)
		}
		return errors.Join(err, p.Running())
	})
	if err != nil {
		return f, err
	}
	before, err := cpuTimes(p, w.server, w.api)
	if err != nil {
		return f, err
	}
	if err := w.finish(ctx, p, n); err != nil {
		return f, err
	}
	after, err := cpuTimes(p, w.server, w.api)
	if err != nil {
		return f, err
	}
	used := func(i int) float64 { return float64((after[i] - before[i]).Microseconds()) / float64(n-finished) }
	f.cpu, f.server, f.api = used(0), used(1), used(2)
	f.rate, err = w.rate(ctx, max(1, n/10), n)
	return f, err
}

// rate returns how many events a second were stored between two of them.
func (w *world) rate(ctx context.Context, first, last int) (float64, error) {
	s, err := w.js.Stream(ctx, resultStream)
	if err != nil {
		return 0, fmt.Errorf("read the events: %w", err)
	}
	from, err := s.GetMsg(ctx, uint64(first))
	if err != nil {
		return 0, fmt.Errorf("read event %d: %w", first, err)
	}
	to, err := s.GetMsg(ctx, uint64(last))
	if err != nil {
		return 0, fmt.Errorf("read event %d: %w", last, err)
	}
	return float64(last-first) / to.Time.Sub(from.Time).Seconds(), nil
}

// cpuTimes returns the processor times that processes have used.
func cpuTimes(processes ...*process.Process) ([]time.Duration, error) {
	var all []time.Duration
	for _, p := range processes {
		t, err := p.CPU()
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// each returns one value of each element.
func each[T any](all []T, value func(T) float64) []float64 {
	var values []float64
	for _, one := range all {
		values = append(values, value(one))
	}
	return values
}
