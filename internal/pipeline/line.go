package pipeline

import (
	"sync"
	"time"
)

// line holds the runs that wait to be submitted, with the time when their requests were stored.
type line struct {
	mu     sync.Mutex
	stored map[*run]time.Time // guarded by mu
}

func newLine() *line { return &line{stored: map[*run]time.Time{}} }

func (l *line) join(r *run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stored[r] = r.req.Delivery.Stored
}

func (l *line) leave(r *run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.stored, r)
}

// oldest returns the age of the oldest request in seconds, 0 where none waits.
func (l *line) oldest() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	age := time.Duration(0)
	for _, stored := range l.stored {
		age = max(age, time.Since(stored))
	}
	return age.Seconds()
}
