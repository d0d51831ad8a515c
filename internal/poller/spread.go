package poller

import (
	"math/rand/v2"
	"sync"
	"time"
)

// resumesPerSecond is how many resumed waits have their first poll in a second, after a burst of the same number.
const resumesPerSecond = 250

// spread spreads the first polls of the waits that a worker takes over: from a worker that died it may take
// over thousands at once. The zero value is ready to use.
type spread struct {
	mu   sync.Mutex
	next time.Time // when the next wait has its turn; guarded by mu
}

// delay returns the time until a wait has its turn. If that is longer than longest, the wait gets no turn of its own but
// a random delay up to longest.
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
