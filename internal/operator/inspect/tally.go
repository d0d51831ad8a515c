package inspect

import (
	"fmt"
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/deadletter"
	"github.com/capstan-worker/capstan/internal/operator/forecast"
	"github.com/capstan-worker/capstan/internal/task"
)

// Tally counts records, by batch and all together.
type Tally struct {
	batches map[string]*counts // those of all tasks under ""
	runs    *forecast.Runs
	active  time.Time       // when a record was last written
	open    int             // tasks that have not ended
	waiting []uint64        // sequences of the requests of tasks that workers hold and have not submitted
	again   map[string]bool // ids of tasks that may run another one again
}

// counts is how many tasks of a batch are in each state.
type counts struct {
	waiting, submitting, running, succeeded, failed int

	other int // in a state that only a newer version knows

	redriven int // of those that failed, those that were run again

	codes   map[task.Code]int       // of those that failed; nil for none
	waits   map[task.WaitReason]int // waiting tasks by reason; nil for none
	lastEnd time.Time
	began   []time.Time // when those that run were submitted

	cost       operator.Cost // of those that have ended
	failedCost operator.Cost // of these, those that failed
}

// NewTally returns a tally of no records, as of a moment.
func NewTally(now time.Time) *Tally {
	return &Tally{batches: map[string]*counts{"": {}}, runs: forecast.NewRuns(now), again: map[string]bool{}}
}

// Add counts the record of a task.
func (t *Tally) Add(r task.Record) {
	if r.UpdatedAt.After(t.active) {
		t.active = r.UpdatedAt
	}
	t.runs.Add(r)
	t.AddRun(r.TaskID)
	if !r.State.Ended() {
		t.open++
	}
	if r.State == task.Waiting {
		t.waiting = append(t.waiting, r.RequestSeq)
	}
	t.batches[""].add(r)
	if r.Batch == "" {
		return
	}
	if t.batches[r.Batch] == nil {
		t.batches[r.Batch] = &counts{}
	}
	t.batches[r.Batch].add(r)
}

// AddRun notes a task, which may be queued and have no record yet, as one that may run another one again.
func (t *Tally) AddRun(id string) {
	if _, run := deadletter.SplitRun(id); run > 0 {
		t.again[id] = true
	}
}

// CountRedriven counts the tasks that failed and were run again, once all tasks are added. failed returns the batch of a task,
// and whether it has failed.
func (t *Tally) CountRedriven(failed func(id string) (batch string, ok bool)) {
	for id := range t.again {
		before, run := deadletter.SplitRun(id)
		if run > 1 {
			before = fmt.Sprintf("%s.r%d", before, run-1)
		}
		batch, ok := failed(before)
		if !ok {
			continue
		}
		t.batches[""].redriven++
		if c := t.batches[batch]; c != nil && batch != "" {
			c.redriven++
		}
	}
}

// of returns the counts of a batch, or of all tasks if that is empty.
func (t *Tally) of(batch string) counts {
	if c := t.batches[batch]; c != nil {
		return *c
	}
	return counts{}
}

// waitingBefore returns how many waiting tasks came before the one of a record.
func (t *Tally) waitingBefore(r *task.Record) (n int) {
	for _, seq := range t.waiting {
		if seq < r.RequestSeq {
			n++
		}
	}
	return n
}

// add counts a task.
func (c *counts) add(r task.Record) {
	switch r.State {
	case task.Waiting:
		c.waiting++
		if r.WaitsFor != "" { // else it only waits for a moment
			c.waits = addOne(c.waits, r.WaitsFor)
		}
	case task.Submitting:
		c.submitting++
	case task.Running:
		c.running++
		c.began = append(c.began, r.SubmittedAt)
	case task.Succeeded:
		c.succeeded++
	case task.Failed:
		c.failed++
		c.codes = addOne(c.codes, r.ErrorCode)
		c.failedCost = c.failedCost.Plus(r.Steps, r.Credits)
	default:
		c.other++
	}
	if r.State.Ended() {
		c.cost = c.cost.Plus(r.Steps, r.Credits)
	}
	if r.State.Ended() && r.FinishedAt.After(c.lastEnd) {
		c.lastEnd = r.FinishedAt
	}
}

// addOne adds one to a count and returns the counts. It creates them, which most batches do without.
func addOne[K comparable](all map[K]int, key K) map[K]int {
	if all == nil {
		all = map[K]int{}
	}
	all[key]++
	return all
}

// middle returns when the task was submitted that is in the middle of those that run.
func (c *counts) middle() time.Time {
	began := slices.SortedFunc(slices.Values(c.began), time.Time.Compare)
	return began[len(began)/2]
}
