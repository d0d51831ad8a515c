package publisher

import "time"

// ExpireAfter makes the index of stored events expire when it has not been used for d.
func (p *Publisher) ExpireAfter(d time.Duration) { p.index.unused.Reset(d) }
