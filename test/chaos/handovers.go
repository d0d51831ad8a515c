package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
	"github.com/capstan-worker/capstan/test/process"
)

// handovers returns the scenarios that measure how soon another worker continues, and what a worker keeps.
func handovers() []scenario {
	return []scenario{
		{name: "handover-drain", about: "1,000 running tasks and SIGTERM: exit in 5 s, the other polls 99 of 100 within 6 s", short: true, alone: true, run: handoverByDrain},
		{name: "handover-kill", about: "1,000 running tasks and kill -9: the other polls all within ACK_WAIT + 6 s", short: true, alone: true, run: handoverByKill},
		{name: "rolling-restart", about: "a deploy of three workers under load: no task notices", short: true, alone: true, run: rollingRestart},
		{name: "nothing-grows", about: "load and rest, several times: no goroutine and no memory is left", run: nothingGrows},
	}
}

const (
	heldTasks    = 1000
	longestDrain = 5 * time.Second
	longestFirst = 6 * time.Second // until the first poll of the new owner: they are spread, 250 a second
)

// hold starts a worker that holds heldTasks tasks, and then another that has none.
func (w *world) hold(ctx context.Context, run time.Duration, settings ...string) *worker {
	settings = append(settings, fmt.Sprintf("MAX_IN_FLIGHT=%d", 2*heldTasks), "POLL_INTERVAL=2s", "POLL_MAX_INTERVAL=15s")
	first := must(w.startWorker(ctx, settings...))
	check(w.ask(ctx, times(heldTasks, plain(run))...))
	check(w.waitRunning(ctx, heldTasks))
	must(w.startWorker(ctx, settings...))
	return first
}

// measure shows a time in the table, and notes a problem if it is too long. If the machine stood still, or the workers
// have the race detector, it is not judged.
func (w *world) measure(what string, took, longest time.Duration) {
	w.measured = append(w.measured, fmt.Sprintf("%s %.2fs", what, took.Seconds()))
	switch {
	case w.race || w.faults.stalled():
		w.unjudged = true
	case took > longest:
		w.note("%s: %v, want %v", what, took, longest)
	}
}

// firstPolls returns, for each workflow that another worker than the first has polled, how long that took since a
// moment, the shortest first.
func (w *world) firstPolls(ctx context.Context, first *worker, since time.Time) ([]time.Duration, error) {
	polls, err := w.api.polls(ctx)
	var after []time.Duration
	for _, by := range polls {
		for worker, at := range by {
			if worker != first.api.Addr() {
				after = append(after, at.Sub(since))
			}
		}
	}
	slices.Sort(after)
	return after, err
}

// measureFirstPolls waits until another worker has polled n workflows, and measures how long the last of them took.
func (w *world) measureFirstPolls(ctx context.Context, first *worker, since time.Time, n int, what string, longest time.Duration) {
	var after []time.Duration
	check(process.Until(ctx, fmt.Sprintf("another worker polls %d tasks", n), longest+10*time.Second, func() (err error) {
		if after, err = w.firstPolls(ctx, first, since); err == nil && len(after) < n {
			err = fmt.Errorf("it polls %d", len(after))
		}
		return err
	}))
	w.measure(what, after[n-1], longest)
}

func handoverByDrain(ctx context.Context, w *world) {
	first := w.hold(ctx, 10*time.Second, "ACK_WAIT=1m") // only a handover moves the tasks
	began := time.Now()
	check(first.drain(ctx))
	w.measure("exit", time.Since(began), longestDrain)
	w.measureFirstPolls(ctx, first, began, heldTasks*99/100, "p99 of first polls", longestFirst)
}

func handoverByKill(ctx context.Context, w *world) {
	first := w.hold(ctx, 12*time.Second)
	began := time.Now()
	check(first.Kill())
	w.measureFirstPolls(ctx, first, began, heldTasks, "slowest first poll", ackWait+longestFirst)
}

// longestDetection is how long after the end of a task its event may say so.
const longestDetection = 2 * time.Second

func rollingRestart(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 3))
	run := 2 * time.Second
	var slowest time.Duration
	for _, old := range w.living() {
		check(w.ask(ctx, times(w.tasks/3, plain(run))...))
		must(w.startWorker(ctx))
		began := time.Now()
		check(old.drain(ctx))
		slowest = max(slowest, time.Since(began))
	}
	w.measure("slowest exit", slowest, longestDrain)
	w.inspect = func(events []verdict.Event) {
		var latest time.Duration
		for _, ev := range events {
			latest = max(latest, ev.FinishedAt.Sub(ev.SubmittedAt)-run)
			if ev.Attempts != 1 || ev.Status != task.Succeeded {
				w.note("%s noticed the deploy: %s after %d attempts", ev.TaskID, ev.Status, ev.Attempts)
			}
		}
		w.measure("latest end", latest, longestDetection)
	}
}

func nothingGrows(ctx context.Context, w *world) {
	check(w.startWorkers(ctx, 2))
	for round := range 4 {
		check(w.ask(ctx, w.mixed(w.tasks)...))
		check(w.settle(ctx))
		if round > 0 {
			continue
		}
		for _, worker := range w.workers { // memory that is allocated once and kept is no growth
			check(process.Pass(ctx, 5*time.Second))
			worker.before = must(worker.usage(ctx))
		}
		w.slack = usage{goroutines: 10, heap: 4 << 20}
	}
}
