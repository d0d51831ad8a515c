package link

import "time"

// Cut closes all connections. The link accepts new ones.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.close()
	}
}

// CutHalfway forwards half of the next frame and then closes that connection.
func (l *Link) CutHalfway() { l.change(func() { l.halfway = true }) }

// Down closes all connections, and every new one until Heal.
func (l *Link) Down() {
	l.change(func() { l.down = true })
	l.Cut()
}

// Stall keeps the connections open and forwards nothing until Heal. Nothing is lost.
func (l *Link) Stall() { l.change(func() { l.stalled = true }) }

// Slow delays each frame, until Heal.
func (l *Link) Slow(delay time.Duration) { l.change(func() { l.delay = delay }) }

// Heal ends all of these, and every hold.
func (l *Link) Heal() {
	l.change(func() {
		l.down, l.stalled, l.halfway, l.delay, l.holds = false, false, false, 0, nil
	})
}

// change changes the state of the link and wakes the goroutines that wait for a change.
func (l *Link) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}
