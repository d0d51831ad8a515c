package publisher

import "time"

// ExpireAfter makes the index of stored events expire when it has not been used for d.
func (p *Publisher) ExpireAfter(d time.Duration) { p.index.unused.Reset(d) }

// Waiting is how many wait for a look at the stored events to be taken.
func (p *Publisher) Waiting() int {
	p.index.mu.Lock()
	defer p.index.mu.Unlock()
	return len(p.index.waiting)
}
