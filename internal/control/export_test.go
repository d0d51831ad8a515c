package control

import "time"

// SetPause sets for how long calls fail at once after one that failed.
func (b *Bucket) SetPause(d time.Duration) {
	for _, f := range b.failures {
		f.retry.InitialInterval, f.retry.MaxInterval = d, d
	}
}

// SetBudget sets the memory of one set of marks, in bytes. Call it before Run.
func (s *Steering) SetBudget(bytes int64) {
	s.budget = bytes
	s.marks = newMarks(bytes)
}

// SetPatience sets how long Canceled waits for a bucket that does not answer. Call it before Run.
func (s *Steering) SetPatience(d time.Duration) { s.patient = d }

// MarkBytes returns what the marks take of the budget.
func (s *Steering) MarkBytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.budget - s.marks.free
}

// Waiting returns how many contexts of Until have not been stopped, and of how many batches they are.
func (s *Steering) Waiting() (contexts, batches int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiters.byTask {
		for ; w != nil; w = w.next {
			contexts++
		}
	}
	return contexts, len(s.waiters.batches)
}

// PauseCheck is the time between two checks whether a pause is still in the bucket.
const PauseCheck = pauseCheck

// MarkBudget is the memory of one set of marks, in bytes.
const MarkBudget = mostMarkBytes

// Forget removes the mark of a task, as if the worker had not heard of it.
func (s *Steering) Forget(taskID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks.remove(target{name: taskID})
}
