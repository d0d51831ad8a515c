package operator

import (
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// mostRuns is from how many tasks it is learned how long a task runs: those that ended last.
const mostRuns = 1000

// tally is what follows from the records.
type tally struct {
	states  map[task.State]int
	codes   map[task.Code]int
	waits   map[task.WaitReason]int // waiting tasks by reason; "" for a moment
	lastEnd time.Time               // of these tasks

	running []time.Time // when those that run were submitted, the first one first

	// All tasks count for these, also those of other batches.
	active time.Time // when a record was last written
	open   int       // tasks that have not ended
	pace   pace
}

// tallyOf counts the tasks of a batch, or all if that is empty.
func tallyOf(all map[string]task.Record, batch string, now time.Time) tally {
	t := tally{states: map[task.State]int{}, codes: map[task.Code]int{}, waits: map[task.WaitReason]int{}}
	runs := newRuns(now)
	for _, r := range all {
		if r.UpdatedAt.After(t.active) {
			t.active = r.UpdatedAt
		}
		runs.note(r)
		if !r.State.Ended() {
			t.open++
		}
		if batch == "" || r.Batch == batch {
			t.add(r)
		}
	}
	slices.SortFunc(t.running, time.Time.Compare)
	t.pace = runs.pace()
	return t
}

// add counts a task.
func (t *tally) add(r task.Record) {
	t.states[r.State]++
	switch r.State {
	case task.Failed:
		t.codes[r.ErrorCode]++
	case task.Waiting:
		t.waits[r.WaitsFor]++
	case task.Running:
		t.running = append(t.running, r.SubmittedAt)
	default:
	}
	if r.State.Ended() && r.FinishedAt.After(t.lastEnd) {
		t.lastEnd = r.FinishedAt
	}
}

// periodOf returns when the last run of a task ran, until now if it runs. It is zero for a task that was never submitted.
func periodOf(r task.Record, now time.Time) period {
	switch {
	case r.SubmittedAt.IsZero() || r.SubmittedAt.After(now):
		return period{}
	case r.State.Ended() && r.FinishedAt.After(r.SubmittedAt) && !r.FinishedAt.After(now):
		return period{r.SubmittedAt, r.FinishedAt}
	case r.State == task.Running:
		return period{r.SubmittedAt, now}
	default:
		return period{}
	}
}

// Runs are the runs of tasks that a pace is learned from.
type Runs struct {
	now   time.Time
	ended []period
	busy  []period // that were under way within paceWindow
}

// NewRuns returns no runs, as of a moment.
func newRuns(now time.Time) *Runs { return &Runs{now: now} }

// Add adds the last run of the task of a record, unless it was never submitted.
func (r *Runs) note(rec task.Record) {
	p := periodOf(rec, r.now)
	if p.from.IsZero() {
		return
	}
	if r.now.Sub(p.to) < paceWindow {
		r.busy = append(r.busy, p)
	}
	if rec.State.Ended() {
		r.ended = append(r.ended, p)
	}
}

// Pace learns from the runs.
func (r *Runs) pace() pace {
	p := pace{now: r.now}
	slices.SortFunc(r.ended, func(a, b period) int { return b.to.Compare(a.to) })
	for i, run := range r.ended {
		if r.now.Sub(run.to) < paceWindow {
			p.ended = append(p.ended, run)
		}
		if i < mostRuns {
			p.runs = append(p.runs, run.to.Sub(run.from))
		}
	}
	slices.Sort(p.runs)
	window := r.now.Add(-paceWindow)
	for i := range r.busy {
		if r.busy[i].from.Before(window) {
			r.busy[i].from = window
		}
	}
	p.busy = union(r.busy)
	return p
}
