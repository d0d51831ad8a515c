package redrive

import (
	"context"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/deadletter"
	"github.com/capstan-worker/capstan/internal/task"
)

// taskRuns is what is known of the runs of a task.
type taskRuns struct {
	last      int      // the greatest number
	credits   *float64 // that the run of the letter used; nil if not known
	alive     bool
	succeeded bool
	idTaken   bool // the letter is of a request that was refused, and a task has its id
}

// why returns why the task cannot be run again, or "".
func (r taskRuns) why() Reason {
	switch {
	case r.alive:
		return RunAlive
	case r.succeeded:
		return RunSucceeded
	case r.idTaken:
		return IDTaken
	default:
		return ""
	}
}

// runsByTask are the runs of tasks, by the task's id without the number of a run.
type runsByTask map[string]taskRuns

// has reports whether an id is that of one of the tasks, or of a run of it.
func (all runsByTask) has(id string) bool {
	base, _ := deadletter.SplitRun(id)
	_, ok := all[base]
	return ok
}

// note notes a run, unless it is of another task.
func (all runsByTask) note(id string, change func(*taskRuns)) {
	if !all.has(id) {
		return
	}
	base, run := deadletter.SplitRun(id)
	runs := all[base]
	runs.last = max(runs.last, run)
	change(&runs)
	all[base] = runs
}

// runsOf returns the runs of the tasks of these letters.
func runsOf(ctx context.Context, q operator.Queue, letters map[string]letter) (runsByTask, error) {
	runs := make(runsByTask, len(letters))
	for base, l := range letters {
		runs[base] = taskRuns{last: l.run}
	}
	if len(runs) == 0 {
		return runs, nil
	}
	records, err := q.RecordsThat(ctx, func(rec task.Record) bool { return runs.has(rec.TaskID) })
	if err != nil {
		return nil, err
	}
	for id, rec := range records {
		base, _ := deadletter.SplitRun(id)
		l := letters[base]
		runs.note(id, func(r *taskRuns) {
			r.alive = r.alive || !rec.State.Ended()
			r.succeeded = r.succeeded || rec.State == task.Succeeded
			isOther := rec.ErrorCode != task.InvalidRequest // else the record is of the letter's own request
			r.idTaken = r.idTaken || l.IsRefusal() && l.TaskID == id && isOther
			if l.TaskID == id {
				r.credits = rec.Credits
			}
		})
	}
	_, err = q.Requests(ctx, func(req operator.Request) {
		if rec, ok := records[req.TaskID]; !ok || !rec.State.Ended() { // that of an ended task is about to be acknowledged
			runs.note(req.TaskID, func(r *taskRuns) { r.alive = true })
		}
	})
	return runs, err
}
