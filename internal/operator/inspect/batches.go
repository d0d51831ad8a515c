package inspect

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
)

// BatchCount is how far a batch is.
type BatchCount struct {
	Batch   string
	Queued  int // of the requests that are known
	Waiting int
	Running int // also those that are being submitted, or in a state that only a newer version knows
	Ended   int
	Failed  int       // of those that have ended, and requests that were refused
	LastEnd time.Time // zero if none has ended

	Cost       operator.Cost // of those that have ended
	FailedCost operator.Cost // of these, those that failed
}

// All returns the number of the batch's tasks.
func (c BatchCount) All() int { return c.Queued + c.Waiting + c.Running + c.Ended }

// IsOpen reports whether some of the batch's tasks have not ended.
func (c BatchCount) IsOpen() bool { return c.Ended < c.All() }

// Batches returns all batches: first those with open tasks, and of these the one with the newest end.
func (s *Snapshot) Batches() []BatchCount {
	all := map[string]BatchCount{}
	for batch, c := range s.Tally.batches {
		all[batch] = BatchCount{
			Batch: batch, Waiting: c.waiting, Running: c.submitting + c.running + c.other, Ended: c.succeeded + c.failed, Failed: c.failed, LastEnd: c.lastEnd,
			Cost: c.cost, FailedCost: c.failedCost,
		}
	}
	for _, r := range s.Queued {
		c := all[r.Batch]
		c.Batch = r.Batch
		c.Queued++
		all[r.Batch] = c
	}
	for batch, codes := range s.Refused {
		c := all[batch]
		c.Batch = batch
		for _, n := range codes {
			c.Ended, c.Failed = c.Ended+n, c.Failed+n
		}
		all[batch] = c
	}
	delete(all, "")
	return slices.SortedFunc(maps.Values(all), func(a, b BatchCount) int {
		if a.IsOpen() != b.IsOpen() {
			return map[bool]int{true: -1, false: 1}[a.IsOpen()]
		}
		return cmp.Or(b.LastEnd.Compare(a.LastEnd), cmp.Compare(a.Batch, b.Batch))
	})
}
