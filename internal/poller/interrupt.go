package poller

import (
	"context"
	"sync"
)

// interrupts lets Interrupt end all waits that have begun.
type interrupts struct {
	mu     sync.Mutex
	latest *interruption // of the waits that begin now; guarded by mu
}

// interruption is what the waits that began between two calls of Interrupt have in common. There may be a hundred
// thousand, so none of them has a context or a channel of its own.
type interruption struct {
	begin context.CancelFunc
	begun <-chan struct{} // closed by begin

	// afterFunc calls f in a goroutine of its own once the interruption has begun, unless stop is called before.
	afterFunc func(f func()) (stop func() bool)
}

func newInterruption() *interruption {
	ctx, cancel := context.WithCancel(context.Background())
	return &interruption{
		begin: cancel, begun: ctx.Done(),
		afterFunc: func(f func()) func() bool { return context.AfterFunc(ctx, f) },
	}
}

// next returns the interruption that ends a wait which begins now.
func (i *interrupts) next() *interruption {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.latest
}

// Interrupt makes every Wait that has begun return task.ErrInterrupted soon, also in the middle of a call.
func (p *Poller) Interrupt() {
	p.interrupts.mu.Lock()
	defer p.interrupts.mu.Unlock()
	p.interrupts.latest.begin()
	p.interrupts.latest = newInterruption()
}

// isBegun reports whether the waits are interrupted.
func (i *interruption) isBegun() bool {
	select {
	case <-i.begun:
		return true
	default:
		return false
	}
}
