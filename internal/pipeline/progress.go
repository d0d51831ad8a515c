package pipeline

import (
	"context"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// runs holds the runs of a worker.
type runs struct {
	clock *servertime.Clock

	mu  sync.Mutex
	all map[*run]struct{} // guarded by mu
}

// add includes a run until remove.
func (all *runs) add(r *run) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.all[r] = struct{}{}
}

func (all *runs) remove(r *run) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.all, r)
}

// interrupt makes the waits for workflows return task.ErrInterrupted.
func (all *runs) interrupt() {
	all.mu.Lock()
	defer all.mu.Unlock()
	for r := range all.all {
		r.stopWait(task.ErrInterrupted)
	}
}

// oldest returns the age of the oldest request whose workflow has not begun, in seconds, or 0 if there is none.
func (all *runs) oldest() float64 {
	all.mu.Lock()
	defer all.mu.Unlock()
	age := time.Duration(0)
	for r := range all.all {
		if r.latest().Step == stepSubmit {
			age = max(age, all.clock.Now().Sub(r.req.Delivery.Stored))
		}
	}
	return age.Seconds()
}

// Progress returns how far a task has come on this worker, or false if the worker does not have it.
func (p *Pipeline) Progress(taskID string) (task.Progress, bool) {
	p.runs.mu.Lock()
	defer p.runs.mu.Unlock()
	for r := range p.runs.all {
		if r.req.TaskID == taskID {
			return r.latest(), true
		}
	}
	return task.Progress{}, false
}

// progress is how far a run has come, for those who ask or interrupt it while it goes on.
type progress struct {
	mu     sync.Mutex
	latest task.Progress           // guarded by mu
	stop   context.CancelCauseFunc // stops the wait for the workflow; nil before it has begun; guarded by mu
}

// latest returns how far the run has come.
func (r *run) latest() task.Progress {
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	return r.progress.latest
}

// noteStep notes that a step has begun: the task waits for nothing else.
func (r *run) noteStep(next string, since time.Time) {
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	r.progress.latest = task.Progress{Step: next, Since: since}
}

// noteReason notes what the task waits for.
func (r *run) noteReason(reason task.WaitReason, until time.Time) {
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	r.progress.latest.WaitsFor, r.progress.latest.WaitsUntil = reason, until
}

// notePoll notes when the workflow is asked for next, after so many answers.
func (r *run) notePoll(next time.Time, polls int) {
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	r.progress.latest.NextPoll, r.progress.latest.Polls = next, polls
}

// noteStop notes how the wait for the workflow is stopped.
func (r *run) noteStop(stop context.CancelCauseFunc) {
	r.progress.mu.Lock()
	defer r.progress.mu.Unlock()
	r.progress.stop = stop
}

// stopWait stops the wait for the workflow with this cause. Without a wait it does nothing.
func (r *run) stopWait(cause error) {
	r.progress.mu.Lock()
	stop := r.progress.stop
	r.progress.mu.Unlock()
	if stop != nil {
		stop(cause)
	}
}
