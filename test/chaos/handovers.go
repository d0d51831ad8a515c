package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/capstan-worker/capstan/test/process"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// handovers measure how soon another worker goes on.
func handovers() []scenario {
	return []scenario{
		{name: "handover-drain", about: "1,000 running tasks and SIGTERM: exit in 5 s, the other polls 99 of 100 within 2 s", short: true, alone: true, run: handoverByDrain},
		{name: "handover-kill", about: "1,000 running tasks and kill -9: the other polls all within ACK_WAIT + 2 s", short: true, alone: true, run: handoverByKill},
		{name: "rolling-restart", about: "a deploy of three workers under load: no task notices", short: true, alone: true, run: rollingRestart},
		{name: "nothing-grows", about: "load and rest, again and again: no goroutine and no memory is left", run: nothingGrows},
	}
}

// What has to be handed over how soon.
const (
	heldTasks     = 1000
	longestDrain  = 5 * time.Second
	longestResume = 6 * time.Second // the first polls are spread, 250 a second
)

// hold starts a worker that holds all the tasks, and another beside it that has none.
func (w *world) hold(ctx context.Context, run time.Duration, settings ...string) (*worker, error) {
	settings = append(settings, fmt.Sprintf("MAX_IN_FLIGHT=%d", 2*heldTasks), "POLL_INTERVAL=2s", "POLL_MAX_INTERVAL=15s")
	first, err := w.startWorker(ctx, settings...)
	if err != nil {
		return nil, err
	}
	if err := w.ask(ctx, times(heldTasks, plain(run))...); err != nil {
		return nil, err
	}
	if err := w.waitRunning(ctx, heldTasks); err != nil {
		return nil, err
	}
	_, err = w.startWorker(ctx, settings...)
	return first, err
}

// timely reports whether times mean anything: the machine was there all the time, and the workers are as
// quick as they can be.
func (w *world) timely() bool { return !w.race && !w.faults.stalled() }

// measure shows a time in the table, and notes where it is too long and times mean anything.
func (w *world) measure(what string, took, longest time.Duration) {
	w.measured = append(w.measured, fmt.Sprintf("%s %.2fs", what, took.Seconds()))
	switch {
	case !w.timely():
		w.unjudged = true
	case took > longest:
		w.note("%s: %v, want %v", what, took, longest)
	}
}

// resumed returns for each workflow after what time another worker than the first asked after it.
func (w *world) resumed(ctx context.Context, first *worker, since time.Time) ([]time.Duration, error) {
	polls, err := w.api.polls(ctx)
	if err != nil {
		return nil, err
	}
	var after []time.Duration
	for _, by := range polls {
		for worker, at := range by {
			if worker != first.api.Addr() {
				after = append(after, at.Sub(since))
			}
		}
	}
	slices.Sort(after)
	return after, nil
}

// measureResumed waits until so many workflows were polled by another worker, and measures after what time the
// last of those was.
func (w *world) measureResumed(ctx context.Context, first *worker, since time.Time, n int, what string, longest time.Duration) error {
	err := process.Until(ctx, fmt.Sprintf("%d tasks are polled by another worker", n), longest+10*time.Second, func() error {
		after, err := w.resumed(ctx, first, since)
		if err == nil && len(after) < n {
			err = fmt.Errorf("%d are", len(after))
		}
		return err
	})
	if err != nil {
		return err
	}
	after, err := w.resumed(ctx, first, since)
	if err != nil {
		return err
	}
	w.measure(what, after[n-1], longest)
	return nil
}

func handoverByDrain(ctx context.Context, w *world) error {
	first, err := w.hold(ctx, 10*time.Second, "ACK_WAIT=1m") // nothing but a handover brings the tasks over
	if err != nil {
		return err
	}
	began := time.Now()
	if err := first.drain(ctx); err != nil {
		return err
	}
	w.measure("exit", time.Since(began), longestDrain)
	return w.measureResumed(ctx, first, began, heldTasks*99/100, "p99 of first polls", longestResume)
}

func handoverByKill(ctx context.Context, w *world) error {
	first, err := w.hold(ctx, 12*time.Second)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := first.Kill(); err != nil {
		return err
	}
	return w.measureResumed(ctx, first, began, heldTasks, "slowest first poll", ackWait+longestResume)
}

// noticed is how much later than planned the end of a task may be told.
const noticed = 2 * time.Second

func rollingRestart(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 3); err != nil {
		return err
	}
	run := 2 * time.Second
	var slowest time.Duration
	for _, old := range w.living() {
		if err := w.ask(ctx, times(w.tasks/3, plain(run))...); err != nil {
			return err
		}
		if _, err := w.startWorker(ctx); err != nil {
			return err
		}
		began := time.Now()
		if err := old.drain(ctx); err != nil {
			return err
		}
		slowest = max(slowest, time.Since(began))
	}
	w.measure("slowest exit", slowest, longestDrain)
	w.look = func(events []verdict.Event) {
		var latest time.Duration
		for _, ev := range events {
			latest = max(latest, ev.FinishedAt.Sub(ev.SubmittedAt)-run)
			if ev.Attempts != 1 || ev.Status != task.Succeeded {
				w.note("%s noticed the deploy: %s after %d attempts", ev.TaskID, ev.Status, ev.Attempts)
			}
		}
		w.measure("latest end", latest, noticed)
	}
	return nil
}

// rounds is how often nothingGrows loads and rests.
const rounds = 4

func nothingGrows(ctx context.Context, w *world) error {
	if err := w.startWorkers(ctx, 2); err != nil {
		return err
	}
	for round := range rounds {
		if err := w.ask(ctx, w.mixed(w.tasks)...); err != nil {
			return err
		}
		if err := w.settle(ctx); err != nil {
			return err
		}
		if round > 0 {
			continue
		}
		for _, worker := range w.workers { // what is taken once and kept is no growth
			if err := process.Pass(ctx, 5*time.Second); err != nil {
				return err
			}
			var err error
			if worker.before, err = worker.usage(ctx); err != nil {
				return err
			}
		}
		w.slack = usage{goroutines: 10, heap: 4 << 20}
	}
	return nil
}
