package inspect

import (
	"maps"
	"slices"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/forecast"
	"github.com/capstan-worker/capstan/internal/task"
)

// Snapshot is a queue at one moment. All figures follow from one, so they are the same wherever they are shown.
type Snapshot struct {
	Shared Status // what is the same for all batches; see Look
	Line   operator.Line
	Tally  *Tally // of all records

	Queued  []operator.Request           // those without a record, in their order; needed for the figures of a batch only
	Taken   int                          // how many of these workers have taken
	IsCut   bool                         // there are more of them
	Refused map[string]map[task.Code]int // requests that were refused, by batch, and all under ""

	Canceled map[string]task.Cancellation // batches that are canceled

	pace forecast.Pace
}

// NewSnapshot returns the snapshot of a queue. The requests in it can be set afterwards, but before it is used.
func NewSnapshot(shared Status, l operator.Line, t *Tally) *Snapshot {
	s := &Snapshot{Shared: shared, Line: l, Tally: t, pace: t.runs.Pace()}
	s.pace.Most = shared.Limit.InFlight
	return s
}

// Status returns how far a batch is, or the whole queue if that is empty.
func (s *Snapshot) Status(batch string) Status {
	st, c := s.Shared, s.Tally.of(batch)
	st.Batch = batch
	if c, isCanceled := s.Canceled[batch]; isCanceled {
		st.Canceled = &c
	}
	st.Pauses, st.Workers, st.Notes = slices.Clone(st.Pauses), slices.Clone(st.Workers), slices.Clone(st.Notes)
	st.Waiting, st.Submitting, st.Running, st.Succeeded, st.Failed = c.waiting, c.submitting, c.running, c.succeeded, c.failed
	st.Redriven, st.Other = c.redriven, c.other
	st.LastEnd, st.WaitsFor, st.FailedByCode = c.lastEnd, maps.Clone(c.waits), map[task.Code]int{}
	st.Cost, st.FailedCost = c.cost, c.failedCost
	for _, codes := range []map[task.Code]int{c.codes, s.Refused[batch]} {
		for code, n := range codes {
			st.FailedByCode[code] += n
		}
	}
	for _, n := range s.Refused[batch] {
		st.Failed += n
	}
	var last uint64 // sequence of the last request that is queued
	st.Queued, last = s.queuedOf(batch)
	st.QueuedAtLeast = batch != "" && s.IsCut
	st.PerMinute = s.pace.PerMinute()
	if st.Open() > 0 {
		st.Done = s.foresee(&st, c, last)
	}
	return st
}

// Place returns the place in line of a queued task by its place among the queued ones: those that wait on workers come first.
func (s *Snapshot) Place(position int) int { return s.Tally.of("").waiting + position }

// WorthReading is how many requests must be without a record to be looked for. While workers live, a few always are for a
// moment, and among very many it would take very many calls to find them.
func WorthReading(l operator.Line) int { return 1 + l.Held/50 }

// queuedOf returns how many requests of a batch have no record, and the sequence of the last one; that of all is 0.
func (s *Snapshot) queuedOf(batch string) (n int, last uint64) {
	if batch == "" {
		return s.Line.Queued + s.Taken, 0
	}
	for _, r := range s.Queued {
		if r.Batch == batch {
			n++
			last = r.Seq
		}
	}
	return n, last
}
