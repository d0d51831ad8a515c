package poller

import (
	"math/rand/v2"
	"sync"
	"time"
)

// resumesPerSecond is how many resumed waits have their first poll in a second, once a burst of as many has had them.
const resumesPerSecond = 250

// spread spreads the first polls of the waits that a worker takes over.
type spread struct {
	mu   sync.Mutex
	next time.Time // the turn of the wait that comes next; guarded by mu
}

// delay returns how long a wait has to wait for its turn. Where that is longer than the longest delay, the wait has no
// turn of its own: any moment until then will do.
func (s *spread) delay(longest time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.next = later(s.next, now.Add(-time.Second)) // a burst after quiet times
	delay := max(s.next.Sub(now), 0)
	if delay > longest {
		return rand.N(longest)
	}
	s.next = s.next.Add(time.Second / resumesPerSecond)
	return delay
}
