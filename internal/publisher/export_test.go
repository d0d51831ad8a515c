package publisher

import "time"

// ExpireAfter drops the index of stored events after it was not used for d.
func (p *Publisher) ExpireAfter(d time.Duration) { p.index.unused.Reset(d) }

// Waiting returns how many queries wait for a search of the stored events.
func (p *Publisher) Waiting() int {
	p.index.mu.Lock()
	defer p.index.mu.Unlock()
	return len(p.index.waiting)
}
