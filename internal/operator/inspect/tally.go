package inspect

import (
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/forecast"
	"github.com/capstan-worker/capstan/internal/task"
)

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
	pace   forecast.Pace
}

// tallyOf counts the tasks of a batch, or all if that is empty.
func tallyOf(all map[string]task.Record, batch string, now time.Time) tally {
	t := tally{states: map[task.State]int{}, codes: map[task.Code]int{}, waits: map[task.WaitReason]int{}}
	runs := forecast.NewRuns(now)
	for _, r := range all {
		if r.UpdatedAt.After(t.active) {
			t.active = r.UpdatedAt
		}
		runs.Add(r)
		if !r.State.Ended() {
			t.open++
		}
		if batch == "" || r.Batch == batch {
			t.add(r)
		}
	}
	slices.SortFunc(t.running, time.Time.Compare)
	t.pace = runs.Pace()
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
