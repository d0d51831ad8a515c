package consumer

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/memory"
)

// lease is what is kept of a held request: not the message.
type lease struct {
	seq     uint64
	stored  time.Time           // when the stream stored the request
	created time.Time           // when the stream was created that delivered it
	memory  *memory.Reservation // for the request's content

	reply   string    // where to answer its newest delivery; guarded by Consumer.mu
	since   time.Time // when it was delivered, at the earliest, or last kept alive; guarded by Consumer.mu
	expired bool      // it was not kept alive for longer than ACK_WAIT since then; guarded by Consumer.mu
	lapsed  bool      // it was expired at some time; guarded by Consumer.mu
	dropped bool      // another request of a recreated stream has its sequence; guarded by Consumer.mu
	worked  time.Time // when work on its content began; zero while there is none; guarded by Consumer.mu
}

// standing is what a released lease is worth.
type standing int

const (
	valid     standing = iota
	renewed            // it expired at some time, and the request was delivered to this worker again
	expired            // another worker may hold the request
	recreated          // the stream is not the one that delivered the request: its sequence is another's
)

// lend notes that a request is held and reports whether it was not before. The server counts the lease from
// the moment it sent the delivery, which may be a while ago where the worker stood still: all that is known of
// it is that it came after the pull.
func (c *Consumer) lend(seq uint64, stored, after time.Time, reply string, created time.Time) (l *lease, isNew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, ok := c.held[seq]; ok {
		if l.stored.Equal(stored) && l.created.Equal(created) {
			c.check(l, time.Now())
			l.reply, l.since, l.expired = reply, after, false
			return l, false
		}
		l.dropped = true
	}
	l = &lease{seq: seq, stored: stored, created: created, reply: reply, since: after}
	c.held[seq] = l
	return l, true
}

// release forgets a held request and returns where to answer it and what its lease is worth. created is when the
// stream was created as it is now.
func (c *Consumer) release(l *lease, created time.Time) (reply string, s standing) {
	l.memory.Release()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[l.seq] == l {
		delete(c.held, l.seq)
	}
	c.check(l, time.Now())
	switch {
	case l.dropped || !l.created.Equal(created):
		return "", recreated
	case l.expired:
		return l.reply, expired
	case l.lapsed:
		return l.reply, renewed
	default:
		return l.reply, valid
	}
}

// keep shrinks what is reserved for a request to that many bytes of it.
func (c *Consumer) keep(l *lease, bytes int) {
	l.memory.Shrink(weight(bytes))
	c.signalFreed()
}

// working notes that work on a request's content begins or has ended.
func (c *Consumer) working(l *lease, begins bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.worked = time.Time{}
	if begins {
		l.worked = time.Now()
	}
}

// lapsed reports whether the lease expired at some time, so that the request may have been delivered to
// another worker.
func (c *Consumer) lapsed(l *lease) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.check(l, time.Now())
	return l.lapsed
}

// check notes a lease that has expired, by either clock: the monotonic one stands still while a host is
// suspended. The caller holds mu.
func (c *Consumer) check(l *lease, now time.Time) {
	age := max(now.Sub(l.since), now.Round(0).Sub(l.since.Round(0)))
	l.expired = l.expired || age > c.cfg.AckWait
	l.lapsed = l.lapsed || l.expired
}

// keepAlive sends the heartbeats of everything held, in one burst each time. Heartbeats that trickle
// would keep the server from ever redelivering what a dead worker held. The first burst comes at a random
// moment, so that workers that started together do not burst together, and one comes after each outage.
func (c *Consumer) keepAlive(ctx context.Context) {
	connected := c.Conn.StatusChanged(nats.CONNECTED)
	defer c.Conn.RemoveStatusListener(connected)
	next := rand.N(c.cfg.AckWait / 3)
	for {
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-connected: // an outage has used up a part of each lease
			timer.Stop()
			next = rand.N(c.cfg.AckWait / 30)
			continue
		case <-timer.C:
		}
		c.beat(ctx)
		next = c.cfg.AckWait/3 - rand.N(c.cfg.AckWait/30)
	}
}

// beat sends one burst. While NATS is away there is none: it would only fill the client's buffer.
func (c *Consumer) beat(ctx context.Context) {
	if !c.Conn.IsConnected() {
		return
	}
	start := time.Now()
	leases := c.leases(c.created(ctx))
	for _, l := range leases {
		if err := c.Conn.Publish(l.reply, []byte(inProgress)); err != nil {
			break // Flush says the same
		}
	}
	if err := c.Conn.FlushTimeout(flushTimeout); err != nil {
		c.log.Warn().Err(err).Int("held", len(leases)).Msg("heartbeats did not reach NATS")
		return
	}
	c.extend(leases, start)
	c.metrics.beatSeconds.Observe(time.Since(start).Seconds())
}

// beaten is a lease and the delivery of it that was kept alive.
type beaten struct {
	*lease
	reply string
}

// hangAfter is for how many times ACK_WAIT a request's content may be worked on. One that takes longer hangs its
// handler: its lease is left to expire, so that the deliveries that end like this are counted.
const hangAfter = 5

// leases returns those that are to be kept alive. A heartbeat for another worker's delivery would keep that alive,
// also after its holder died. created is when the stream was created as it is now.
func (c *Consumer) leases(created time.Time) []beaten {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	all := make([]beaten, 0, len(c.held))
	for _, l := range c.held {
		c.check(l, now)
		hangs := !l.worked.IsZero() && now.Sub(l.worked) > hangAfter*c.cfg.AckWait
		if !l.expired && !hangs && l.created.Equal(created) {
			all = append(all, beaten{lease: l, reply: l.reply})
		}
	}
	return all
}

// extend notes that these leases were kept alive at that time.
func (c *Consumer) extend(leases []beaten, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range leases {
		if b.since.Before(at) {
			b.since = at
		}
	}
}
