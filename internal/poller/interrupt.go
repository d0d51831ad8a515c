package poller

import (
	"context"
	"sync"
	"time"
)

// interrupts lets Interrupt end all waits that have begun.
type interrupts struct {
	mu     sync.Mutex
	latest *interruption // of the waits that begin now; guarded by mu
}

// interruption ends the waits that began between two calls of Interrupt. A wait that sleeps has nothing of its own for
// that, because there may be a hundred thousand.
type interruption struct {
	happened chan struct{} // closed when it happens

	mu    sync.Mutex
	polls map[*context.CancelFunc]struct{} // cancel the polls under way; guarded by mu
}

func newInterruption() *interruption {
	return &interruption{happened: make(chan struct{}), polls: map[*context.CancelFunc]struct{}{}}
}

// next returns the interruption that ends a wait which begins now.
func (i *interrupts) next() *interruption {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.latest
}

// Interrupt makes every Wait that has begun return task.ErrInterrupted soon, also in the middle of a poll.
func (p *Poller) Interrupt() {
	p.interrupts.mu.Lock()
	latest := p.interrupts.latest
	p.interrupts.latest = newInterruption()
	p.interrupts.mu.Unlock()

	close(latest.happened)
	latest.mu.Lock()
	defer latest.mu.Unlock()
	for cancel := range latest.polls {
		(*cancel)()
	}
}

// hasHappened reports whether the waits are interrupted.
func (i *interruption) hasHappened() bool {
	select {
	case <-i.happened:
		return true
	default:
		return false
	}
}

// context returns the context of a poll, which ends with ctx, at the deadline, with end, or when the interruption happens.
func (i *interruption) context(ctx context.Context, deadline time.Time) (_ context.Context, end func()) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.polls[&cancel] = struct{}{}
	if i.hasHappened() {
		cancel()
	}
	return ctx, func() {
		cancel()
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.polls, &cancel)
	}
}
