package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/capstan-worker/capstan/test/process"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// settleTime is how long the last task may take once nothing is broken any more. Pauses last up to a minute, and it takes
// a minute until a workflow counts as lost.
const settleTime = 3 * time.Minute

// finish repairs everything, waits until every task has finished, stops the workers and judges.
func (w *world) finish(ctx context.Context) (verdict.Count, error) {
	if err := w.heal(ctx); err != nil {
		return verdict.Count{}, err
	}
	settled := w.settle(ctx)
	if ctx.Err() != nil {
		return verdict.Count{}, ctx.Err()
	}
	if settled != nil {
		w.note("%v", settled)
	} else if err := w.checkUsage(ctx); err != nil {
		return verdict.Count{}, err
	}
	w.drainAll(ctx)
	if err := w.awaitSessions(ctx); err != nil {
		return verdict.Count{}, err
	}
	evidence, err := w.collect(ctx)
	if err != nil {
		return verdict.Count{}, err
	}
	if err := w.searchLogs(); err != nil {
		return verdict.Count{}, err
	}
	if w.inspect != nil {
		w.inspect(evidence.Events)
	}
	var tasks []verdict.Task
	for _, a := range w.asked {
		tasks = append(tasks, a.want)
	}
	count := verdict.Judge(tasks, evidence)
	w.measureSessions(evidence)
	return count, nil
}

// heal repairs all links, resumes all workers, starts all nodes, and starts a worker if there is none.
func (w *world) heal(ctx context.Context) error {
	for _, n := range w.nodes {
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	alive := 0
	for _, worker := range w.workers {
		for _, l := range append(worker.nats, worker.api) {
			l.Heal()
		}
		if worker.Alive() {
			alive++
			if err := worker.Signal(syscall.SIGCONT); err != nil {
				return err
			}
		}
	}
	if err := w.api.recover(ctx); err != nil {
		return err
	}
	if alive == 0 {
		_, err := w.startWorker(ctx)
		return err
	}
	return w.natsReady(ctx)
}

// settle waits until there is an event for every task and no request is left.
func (w *world) settle(ctx context.Context) error {
	if err := w.publishDeferred(ctx, true); err != nil {
		return err
	}
	if err := w.cancelRecalled(ctx); err != nil {
		return err
	}
	return process.Until(ctx, "every task has finished", settleTime, func() error {
		if err := w.finished(ctx, len(w.asked)); err != nil {
			return err
		}
		left, err := w.left(ctx)
		if err == nil && left > 0 {
			err = fmt.Errorf("%d requests are left", left)
		}
		return err
	})
}

// finished returns an error while there are fewer than n events.
func (w *world) finished(ctx context.Context, n int) error {
	s, err := w.stream(ctx, resultStream)
	if err == nil && s.CachedInfo().State.Msgs < uint64(n) {
		err = fmt.Errorf("%d events of %d tasks", s.CachedInfo().State.Msgs, n)
	}
	return err
}

// restTime is how long a worker may take to free what its tasks used. It keeps connections to the API for some seconds.
const restTime = 20 * time.Second

// checkUsage waits until each worker uses hardly more than before it had tasks.
func (w *world) checkUsage(ctx context.Context) error {
	within := restTime
	if w.sessions {
		within += fenceTime // of a worker that has lost the task meanwhile
	}
	for _, worker := range w.workers {
		if !worker.Alive() {
			continue
		}
		err := process.Until(ctx, worker.Name+" is at rest", within, func() error {
			now, err := worker.usage(ctx)
			if err == nil && (now.goroutines > worker.before.goroutines+w.slack.goroutines || now.heap > worker.before.heap+w.slack.heap) {
				err = fmt.Errorf("it has %d goroutines and %d bytes, and before its tasks %d and %d",
					now.goroutines, now.heap, worker.before.goroutines, worker.before.heap)
			}
			return err
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			w.note("%v", err)
		}
	}
	return nil
}

// drainAll stops all workers. One that does not exit as it must is a problem.
func (w *world) drainAll(ctx context.Context) {
	running, signaled := w.living(), time.Now()
	for _, worker := range running {
		if err := worker.terminate(ctx); err != nil {
			w.note("%v", err)
		}
	}
	for _, worker := range running {
		if err := worker.exit(ctx, signaled, drainTimeout+5*time.Second); err != nil {
			w.note("%v", err)
		}
	}
}

// waitRunning waits until the last n tasks that were asked for are running.
func (w *world) waitRunning(ctx context.Context, n int) error {
	tasks := w.asked[len(w.asked)-n:]
	return process.Until(ctx, fmt.Sprintf("%d tasks run", n), time.Minute, func() error {
		for _, a := range tasks {
			if state := w.journal.state(a.id); state != task.Running {
				return fmt.Errorf("%s is %q", a.id, state)
			}
		}
		return nil
	})
}

// living returns the workers that have not ended.
func (w *world) living() []*worker {
	return slices.DeleteFunc(slices.Clone(w.workers), func(p *worker) bool { return !p.Alive() })
}
