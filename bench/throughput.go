package main

import (
	"context"
	"time"

	"github.com/capstan-worker/capstan/bench/figure"
	"github.com/capstan-worker/capstan/test/process"
)

func throughput(ctx context.Context, l *lab) {
	busy := append(quickPolls(), "MAX_IN_FLIGHT=256", "SUBMIT_CONCURRENCY=64") // keeps two cores busy
	l.compare(func(name, program string) {
		l.flow(ctx, name, program, busy, "", figure.Row{
			Goal: figure.Goal{Least: 0.80}, Headline: "through one worker, on two cores that it shares with NATS and a stand-in for the API",
		})
	})
	l.compare(func(name, program string) {
		l.flow(ctx, name, program, quickPolls(), "by default, ", figure.Row{Goal: figure.Goal{Least: 0.75}})
	})
}

// quickPolls are settings with which a worker asks for the end of a workflow at once.
func quickPolls() []string { return []string{"POLL_INTERVAL=1ms", "POLL_MAX_INTERVAL=1ms"} }

// flow runs stored tasks through worker or floor. The first tenth does not count, so that its start does not either.
// The row has the goal of the throughput.
func (l *lab) flow(ctx context.Context, name, program string, settings []string, label string, row figure.Row) {
	n := l.tasksOr(40_000)
	w := l.newWorld(ctx, settings...)
	defer w.close()
	w.publish(ctx, n, func(i int) []byte { return request(taskID(i), "", nil) })
	p := w.launch(ctx, name, program, settings...)
	first := w.reach(ctx, p, n/10)
	processes := []*process.Process{p, w.server, w.api.Process}
	before := cpuTimes(processes)
	w.reach(ctx, p, n)
	after := cpuTimes(processes)
	row.What, row.Unit = label+"throughput", "tasks/s"
	l.add(name, w.rate(ctx, max(1, n/10), n), row)
	for i, of := range []string{"", " of NATS", " of the stand-in"} {
		used := float64((after[i] - before[i]).Microseconds()) / float64(n-first)
		l.add(name, used, figure.Row{What: label + "CPU a task" + of, Unit: "µs"})
	}
}

// rate returns how many events a second were stored between two of them.
func (w *world) rate(ctx context.Context, first, last int) float64 {
	s := process.Must(w.js.Stream(ctx, resultStream))
	from, to := process.Must(s.GetMsg(ctx, uint64(first))), process.Must(s.GetMsg(ctx, uint64(last)))
	return float64(last-first) / to.Time.Sub(from.Time).Seconds()
}

// cpuTimes returns the processor times that processes have used.
func cpuTimes(processes []*process.Process) (all []time.Duration) {
	for _, p := range processes {
		all = append(all, process.Must(p.CPU()))
	}
	return all
}
