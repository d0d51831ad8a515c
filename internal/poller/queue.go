package poller

import (
	"context"
	"slices"
	"time"
)

// queue is the polls that are due and have to wait for a free call or for the rate, first come, first served.
// One goroutine, while there is any, takes a slot and then a token for the first of them: so no slot and no
// token is wasted on one that goes meanwhile, and submissions get every other token.
type queue struct {
	waits   []*wait // some may have left
	length  int     // of those that have not
	serving bool
	stop    context.CancelFunc // cuts off the wait for the first, when the last has left
}

// enqueue puts a wait at the end. The caller holds mu.
func (p *Poller) enqueue(ctx context.Context, w *wait) {
	w.phase, w.queuedAt = queued, time.Now()
	p.queue.waits = append(p.queue.waits, w)
	p.queue.length++
	p.due.Inc()
	if !p.queue.serving {
		p.queue.serving = true
		go p.serve(context.WithoutCancel(ctx))
	}
}

// leave moves a wait to another phase, out of the queue if it is there. The caller holds mu.
func (p *Poller) leave(w *wait, to phase) {
	if w.phase == queued {
		p.queue.length--
		p.due.Dec()
		if p.queue.length == 0 && p.queue.stop != nil {
			p.queue.stop()
		}
	}
	w.phase = to
	if len(p.queue.waits) > 2*p.queue.length+callsAtOnce { // most have left
		p.queue.waits = slices.DeleteFunc(p.queue.waits, func(w *wait) bool { return w.phase != queued })
	}
}

// tryTake takes a slot and a token where both are there and nobody queues for them. The caller holds mu.
func (p *Poller) tryTake() bool {
	if p.queue.serving || !p.calls.TryAcquire(1) {
		return false
	}
	if p.limit.Allow() {
		return true
	}
	p.calls.Release(1)
	return false
}

// serve serves the queue until it is empty.
func (p *Poller) serve(forever context.Context) {
	for {
		ctx, ok := p.first(forever)
		if !ok {
			return
		}
		if p.calls.Acquire(ctx, 1) != nil {
			continue
		}
		if w := p.take(ctx); w != nil {
			go w.ask()
		} else {
			p.calls.Release(1)
		}
	}
}

// first returns a context that ends when nobody is in the queue any more, or false where nobody is. Who is held is
// sent back to sleep.
func (p *Poller) first(forever context.Context) (context.Context, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, stop := context.WithCancel(forever)
	p.queue.stop = stop
	if _, until := p.hold.admit(); !until.IsZero() {
		for w := p.pop(); w != nil; w = p.pop() {
			p.leave(w, asleep)
			w.resumeAfter(until)
			w.timer.Reset(time.Until(w.next))
		}
	}
	p.queue.serving = p.queue.length > 0
	if !p.queue.serving {
		stop()
		p.queue.waits = nil
	}
	return ctx, p.queue.serving
}

// take waits for a token and returns the first in the queue, or nil when all have left.
func (p *Poller) take(ctx context.Context) *wait {
	if p.limit.Wait(ctx) != nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.pop()
	if w != nil {
		p.leave(w, asking)
		w.timer.Stop()
		p.late.Observe(time.Since(w.queuedAt).Seconds())
	}
	return w
}

// pop takes the first wait from the queue, or nil. The caller holds mu.
func (p *Poller) pop() *wait {
	for len(p.queue.waits) > 0 {
		w := p.queue.waits[0]
		p.queue.waits[0] = nil
		p.queue.waits = p.queue.waits[1:]
		if w.phase == queued {
			return w
		}
	}
	return nil
}
