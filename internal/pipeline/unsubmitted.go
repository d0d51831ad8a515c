package pipeline

import (
	"sync"
	"time"
)

// unsubmitted holds the runs whose workflow has not begun, and when their requests were stored. A gauge shows the age
// of the oldest.
type unsubmitted struct {
	mu     sync.Mutex
	stored map[*run]time.Time // guarded by mu
}

func newUnsubmitted() *unsubmitted { return &unsubmitted{stored: map[*run]time.Time{}} }

// add includes a run until remove.
func (u *unsubmitted) add(r *run) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stored[r] = r.req.Delivery.Stored
}

func (u *unsubmitted) remove(r *run) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.stored, r)
}

// oldest returns the age of the oldest request in seconds, or 0 if there is none.
func (u *unsubmitted) oldest() float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	age := time.Duration(0)
	for _, stored := range u.stored {
		age = max(age, time.Since(stored))
	}
	return age.Seconds()
}
