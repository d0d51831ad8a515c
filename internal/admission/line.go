package admission

import (
	"context"
	"sync"
	"time"
)

// lookInterval is the time between two looks of a submission that waits.
const lookInterval = 5 * time.Second

// line is where submissions wait, first come, first served. The zero line is empty. Its methods may be called by many
// goroutines at once.
type line struct {
	mu   sync.Mutex
	last *place // nil: nobody waits; guarded by mu
}

// place is a place in a line.
type place struct {
	ahead, behind *place        // guarded by mu of the line
	first         chan struct{} // closed once nobody is ahead any more; nil if nobody was
}

// wait returns once the caller is the first in line; it is until it calls leave. It keeps its place while it calls look,
// every lookInterval. If look fails or ctx ends first, it leaves the line and returns that error. A nil look is not called.
func (l *line) wait(ctx context.Context, look func() error) (leave func(), err error) {
	p := l.join()
	if p.first != nil {
		if err := lookUntil(ctx, p.first, look); err != nil {
			l.leave(p)
			return nil, err
		}
	}
	return func() { l.leave(p) }, nil
}

// join returns the place at the end.
func (l *line) join() *place {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &place{ahead: l.last}
	if p.ahead != nil {
		p.ahead.behind, p.first = p, make(chan struct{})
	}
	l.last = p
	return p
}

// leave gives up a place. If it was the first, the next one is.
func (l *line) leave(p *place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.ahead != nil {
		p.ahead.behind = p.behind
	}
	switch {
	case p.behind == nil:
		l.last = p.ahead
	case p.ahead == nil:
		p.behind.ahead = nil
		close(p.behind.first)
	default:
		p.behind.ahead = p.ahead
	}
}

// lookUntil calls look every lookInterval until done is closed. It returns the error of look, or ctx's if that ends first.
func lookUntil(ctx context.Context, done <-chan struct{}, look func() error) error {
	var due <-chan time.Time
	if look != nil {
		ticker := time.NewTicker(lookInterval)
		defer ticker.Stop()
		due = ticker.C
	}
	for {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
			if err := look(); err != nil {
				return err
			}
		}
	}
}

// lookBeside calls wait, and meanwhile look every lookInterval. If look fails or ctx ends first, it ends the context of wait
// and returns that error, even if wait has succeeded by then.
func lookBeside(ctx context.Context, look func() error, wait func(context.Context) error) error {
	if look == nil {
		return wait(ctx)
	}
	waitCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	var waitErr error
	over := make(chan struct{})
	go func() {
		defer close(over)
		waitErr = wait(waitCtx)
	}()
	lookErr := lookUntil(ctx, over, look)
	cancel()
	<-over
	if lookErr != nil {
		return lookErr
	}
	return waitErr
}
