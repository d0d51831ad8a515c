package redrive

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// runSuffix is the number of a run that was redriven.
var runSuffix = regexp.MustCompile(`\.r([1-9]\d{0,5})$`)

// splitRun returns the id of a task without the number of its run, and that number: 0 for the task itself.
func splitRun(id string) (base string, run int) {
	m := runSuffix.FindStringSubmatch(id)
	if m == nil {
		return id, 0
	}
	run, _ = strconv.Atoi(m[1]) // it has at most six digits
	return strings.TrimSuffix(id, m[0]), run
}

// taskRuns is what is known of the runs of a task.
type taskRuns struct {
	last      int // the greatest number
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
	base, _ := splitRun(id)
	_, ok := all[base]
	return ok
}

// note notes a run, unless it is of another task.
func (all runsByTask) note(id string, change func(*taskRuns)) {
	if !all.has(id) {
		return
	}
	base, run := splitRun(id)
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
		base, _ := splitRun(id)
		l := letters[base]
		runs.note(id, func(r *taskRuns) {
			r.alive = r.alive || !rec.State.Ended()
			r.succeeded = r.succeeded || rec.State == task.Succeeded
			r.idTaken = r.idTaken || l.isRefusal() && l.taskID == id
		})
	}
	_, err = q.Requests(ctx, func(req operator.Request) {
		if rec, ok := records[req.TaskID]; !ok || !rec.State.Ended() { // that of an ended task is about to be acknowledged
			runs.note(req.TaskID, func(r *taskRuns) { r.alive = true })
		}
	})
	return runs, err
}
