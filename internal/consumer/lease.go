package consumer

import (
	"time"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/task"
)

// lease is the consumer's state of a request in progress. It does not hold the message.
type lease struct {
	seq           uint64
	stored        time.Time           // when the stream stored the request
	streamCreated time.Time           // when the stream was created that delivered it
	memory        *memory.Reservation // for the request's content

	reply       string    // where to answer the newest delivery; guarded by Consumer.mu
	extended    time.Time // when the lease began or was last extended, at the earliest; guarded by Consumer.mu
	expired     bool      // it was not extended for longer than ACK_WAIT; a redelivery clears it; guarded by Consumer.mu
	everExpired bool      // it was expired at some time; guarded by Consumer.mu
	replaced    bool      // another request of a recreated stream has its sequence; guarded by Consumer.mu
	busySince   time.Time // when the worker began to process its content; zero if it does not; guarded by Consumer.mu
}

// leaseState is the state of a lease at its end.
type leaseState int

const (
	valid     leaseState = iota
	renewed              // it expired at some time, and the request was redelivered to this worker
	expired              // another worker may have the request
	recreated            // the stream was recreated: the lease's sequence is another request's now
)

// acquire leases a request, and reports whether that is new. If the request is in progress already, its lease begins
// again with the new reply subject.
//
// The server counts a lease from when it sent the delivery. If this worker stalled, that may be a while ago, so the
// lease counts from pulledAt here, which is earlier. created is when the stream was created.
func (c *Consumer) acquire(d *task.Delivery, reply string, pulledAt, created time.Time) (l *lease, isNew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, ok := c.leases[d.Seq]; ok {
		if l.stored.Equal(d.Stored) && l.streamCreated.Equal(created) {
			c.noteExpiry(l, time.Now())
			l.reply, l.extended, l.expired = reply, pulledAt, false
			return l, false
		}
		l.replaced = true
	}
	l = &lease{seq: d.Seq, stored: d.Stored, streamCreated: created, reply: reply, extended: pulledAt}
	c.leases[d.Seq] = l
	return l, true
}

// endLease forgets a request. It returns where to answer its newest delivery, and the state of its lease. created is
// when the stream was created that exists now.
func (c *Consumer) endLease(l *lease, created time.Time) (reply string, state leaseState) {
	l.memory.Release()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leases[l.seq] == l {
		delete(c.leases, l.seq)
	}
	c.noteExpiry(l, time.Now())
	switch {
	case l.replaced || !l.streamCreated.Equal(created):
		return "", recreated
	case l.expired:
		return l.reply, expired
	case l.everExpired:
		return l.reply, renewed
	default:
		return l.reply, valid
	}
}

// noteExpiry marks a lease that has expired by either clock: the monotonic one stops while the host is suspended. The
// caller holds mu.
func (c *Consumer) noteExpiry(l *lease, now time.Time) {
	age := max(now.Sub(l.extended), now.Round(0).Sub(l.extended.Round(0)))
	l.expired = l.expired || age > c.cfg.AckWait
	l.everExpired = l.everExpired || l.expired
}

// everExpired reports whether a lease expired at some time: the request may have been delivered to another worker.
func (c *Consumer) everExpired(l *lease) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteExpiry(l, time.Now())
	return l.everExpired
}

// shrink reduces the memory reserved for a request to that many bytes of content.
func (c *Consumer) shrink(l *lease, bytes int) {
	l.memory.Shrink(weight(bytes))
	c.signalFreed()
}

// markBusy notes that the worker begins to process a request's content, or that it has ended.
func (c *Consumer) markBusy(l *lease, busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.busySince = time.Time{}
	if busy {
		l.busySince = time.Now()
	}
}
