package main

import (
	"context"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/test/process"
)

// machines returns the scenarios with wrong clocks, little memory and older versions.
func machines() []scenario {
	return []scenario{
		{name: "large-together", about: "40 results of 8 MiB end together, in the memory of a pod", newer: true, alone: true, run: largeTogether},
		{name: "clock-ahead", about: "the clock of one of two workers is two hours ahead; each takes tasks over from the other", clocks: true, newer: true, run: clockOff(skew)},
		{name: "clock-behind", about: "the same with a clock that is two hours behind", clocks: true, newer: true, run: clockOff(-skew)},
		{name: "versions", about: "workers of two versions on one queue, killed and drained in turn", older: true, run: versionsTogether},
	}
}

// The memory that the manifests give to a worker, and how much of it the worker may use.
const (
	podMemory  = 500 << 20
	mostMemory = 450 << 20
)

func largeTogether(ctx context.Context, w *world) {
	const n, size = 40, 8 << 20
	if !w.race { // the race detector needs several times as much
		w.memory = podMemory
	}
	for range 2 {
		must(w.startWorker(ctx, "GOMEMLIMIT=450MiB", "ANCHORBROWSER_REQUEST_TIMEOUT=30s", "DRAIN_TIMEOUT=40s"))
	}
	together := time.Now().Add(5 * time.Second)
	for range n {
		r := plain(0)
		r.kind, r.want.Result = "large", nil
		r.plan = anchortest.Plan{Poll: []anchortest.Fault{
			anchortest.State("RUNNING").During(time.Until(together)), anchortest.Large(size).Repeated(-1),
		}}
		check(w.ask(ctx, r))
	}
	check(w.settle(ctx))
	var most int64
	for _, p := range w.workers {
		check(p.Running())
		most = max(most, must(p.Peak()))
	}
	w.measured = append(w.measured, fmt.Sprintf("memory %d MiB", most>>20))
	if most > mostMemory && !w.race {
		w.note("a worker used %d MiB of memory, want at most %d", most>>20, mostMemory>>20)
	}
}

// skew is the error of a wrong clock: longer than a task may take.
const skew = 2 * time.Hour

// skewed is the setting of a worker with a wrong clock.
func skewed(by time.Duration) string {
	return fmt.Sprintf("%s=%d", process.SkewVariable, int(by.Seconds()))
}

// skewOf returns the error of the clock of the worker with that number. In a storm with wrong clocks every third
// worker has one, ahead and behind in turn.
func (w *world) skewOf(number int) time.Duration {
	switch {
	case !w.clocks || number%3 != 0:
		return 0
	case number%2 == 0:
		return skew
	default:
		return -skew
	}
}

func clockOff(by time.Duration) func(context.Context, *world) {
	return func(ctx context.Context, w *world) {
		n := w.tasks / 6
		first := must(w.startWorker(ctx, skewed(by)))
		for _, settings := range [][]string{nil, {skewed(by)}} {
			check(w.ask(ctx, times(n, plain(2*ackWait))...))
			check(w.waitRunning(ctx, n))
			second := must(w.startWorker(ctx, settings...))
			check(w.ask(ctx, w.mixed(n)...))
			check(first.Kill())
			first = second
		}
	}
}

func versionsTogether(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 4))
	for round := range 8 {
		check(w.ask(ctx, w.mixed(w.tasks/8)...))
		oldest := w.living()[0]
		must(w.startWorker(ctx)) // of the other version than the one before
		if round%4 >= 2 {        // the versions take turns, so each is drained and killed
			check(oldest.Kill())
		} else {
			check(oldest.drain(ctx))
		}
	}
}
