package control

import (
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// mostMarkBytes bounds the memory of one set of marks. While the bucket is read again there are two sets.
	mostMarkBytes = 16 << 20

	// markOverhead is what a mark takes in memory besides its texts: an entry of a map that may be half empty.
	markOverhead = 176
)

// target is what a key of the bucket marks: a task or a batch.
type target struct {
	batch bool
	name  string
}

// parseTarget returns what a key marks. ok is false if it marks nothing, as a key does that is longer than any task id or
// batch.
func parseTarget(key string) (t target, ok bool) {
	if id, isTask := strings.CutPrefix(key, CancelPrefix); isTask {
		return target{name: id}, len(id) <= task.LongestID
	}
	batch, isBatch := strings.CutPrefix(key, CancelBatchPrefix)
	return target{batch: true, name: batch}, isBatch && len(batch) <= task.LongestBatch
}

// marks are the cancellations that are stored in the bucket, as far as they fit into a budget.
type marks struct {
	all          map[target]canceled
	free         int64     // bytes of the budget
	droppedUntil time.Time // when the last mark expires that did not fit; zero: all fitted
}

// canceled is a mark.
type canceled struct {
	task.Cancellation
	expires int64 // in Unix nanoseconds; a time.Time would be three times as large
}

func newMarks(budget int64) *marks { return &marks{all: map[target]canceled{}, free: budget} }

// put keeps a mark, in the place of an earlier one, if the budget has room for it.
func (m *marks) put(t target, c canceled) (fits bool) {
	m.remove(t)
	size := sizeOf(t, c)
	if size > m.free {
		if expires := time.Unix(0, c.expires); expires.After(m.droppedUntil) {
			m.droppedUntil = expires
		}
		return false
	}
	m.free -= size
	// They are parts of a message, which may be large.
	t.name, c.Reason, c.By = strings.Clone(t.name), strings.Clone(c.Reason), strings.Clone(c.By)
	m.all[t] = c
	return true
}

// add keeps the marks of another set as well, as far as they fit.
func (m *marks) add(others *marks) {
	for t, c := range others.all {
		m.put(t, c)
	}
	if others.droppedUntil.After(m.droppedUntil) {
		m.droppedUntil = others.droppedUntil
	}
}

// remove removes a mark if there is one. Nil has none.
func (m *marks) remove(t target) {
	if m == nil {
		return
	}
	if c, found := m.all[t]; found {
		m.free += sizeOf(t, c)
		delete(m.all, t)
	}
}

func sizeOf(t target, c canceled) int64 {
	return int64(markOverhead + len(t.name) + len(c.Reason) + len(c.By))
}

// find returns the mark of a task or of its batch. certain is false if there may be one that did not fit.
func (m *marks) find(now time.Time, taskID, batch string) (c task.Cancellation, found, certain bool) {
	for _, t := range []target{{name: taskID}, {batch: true, name: batch}} {
		if c, ok := m.all[t]; ok && now.UnixNano() < c.expires {
			return c.Cancellation, true, true
		}
	}
	return task.Cancellation{}, false, !now.Before(m.droppedUntil)
}

// removeExpired removes the marks that have expired, as NATS does in the bucket.
func (m *marks) removeExpired(now time.Time) {
	for t, c := range m.all {
		if now.UnixNano() >= c.expires {
			m.remove(t)
		}
	}
}
