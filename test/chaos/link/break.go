package link

import "time"

// Cut closes all connections. New ones are taken.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.close()
	}
}

// CutHalfway lets half of the next frame through and then closes that connection.
func (l *Link) CutHalfway() { l.change(func() { l.halfway = true }) }

// Down closes all connections and every new one, until Heal.
func (l *Link) Down() {
	l.change(func() { l.down = true })
	l.Cut()
}

// Stall keeps the connections open and passes nothing on, until Heal. Nothing is lost by that.
func (l *Link) Stall() { l.change(func() { l.stalled = true }) }

// Slow lets each frame wait for so long, until Heal.
func (l *Link) Slow(delay time.Duration) { l.change(func() { l.delay = delay }) }

// Heal ends all of the above, and every hold.
func (l *Link) Heal() {
	l.change(func() {
		l.down, l.stalled, l.halfway, l.delay, l.holds = false, false, false, 0, nil
	})
}

// change changes how the link is and wakes whoever waits for that.
func (l *Link) change(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	close(l.changed)
	l.changed = make(chan struct{})
}
