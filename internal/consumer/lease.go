package consumer

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
)

// lease is what is kept of a held request: not the message.
type lease struct {
	seq    uint64
	stored time.Time // when the stream stored the request

	reply  string    // where to answer its newest delivery; guarded by Consumer.mu
	since  time.Time // when it was delivered, at the earliest, or last kept alive; guarded by Consumer.mu
	stale  bool      // since then it was not kept alive for longer than ACK_WAIT; guarded by Consumer.mu
	lapsed bool      // it was stale at some time; guarded by Consumer.mu
	gone   bool      // the stream was made anew, and another request has its sequence; guarded by Consumer.mu
}

// lend notes that a request is held and reports whether it was not before. The server counts the lease from
// the moment it sent the delivery, which may be a while ago where the worker stood still: all that is known of
// it is that it came after the pull.
func (c *Consumer) lend(seq uint64, stored, after time.Time, reply string) (l *lease, isNew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, ok := c.held[seq]; ok {
		if l.stored.Equal(stored) {
			c.check(l, time.Now())
			l.reply, l.since, l.stale = reply, after, false
			return l, false
		}
		l.gone = true
	}
	l = &lease{seq: seq, stored: stored, reply: reply, since: after}
	c.held[seq] = l
	return l, true
}

// release forgets a held request and returns where to answer it, and whether its delivery is still this
// worker's to give back. Where there is nothing to answer any more reply is empty.
func (c *Consumer) release(l *lease) (reply string, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.freed <- struct{}{}:
	default:
	}
	if l.gone {
		return "", false
	}
	delete(c.held, l.seq)
	c.check(l, time.Now())
	return l.reply, !l.stale
}

// giveBack answers a released request's delivery so that it comes again at once.
func (c *Consumer) giveBack(l *lease, reply string) {
	c.mu.Lock()
	c.back = append(c.back, l)
	c.mu.Unlock()
	c.answer(reply, nak)
}

// returned is where what was given back is answered, as far as it is this worker's yet.
func (c *Consumer) returned() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var replies []string
	for _, l := range c.back {
		c.check(l, time.Now())
		if !l.stale {
			replies = append(replies, l.reply)
		}
	}
	return replies
}

// lapsed reports whether the lease ran out at some time, so that the request may have been delivered to
// somebody else.
func (c *Consumer) lapsed(l *lease) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.check(l, time.Now())
	return l.lapsed
}

// check notes a lease that has run out, by either clock: the monotonic one stands still while a host is
// suspended. The caller holds mu.
func (c *Consumer) check(l *lease, now time.Time) {
	age := max(now.Sub(l.since), now.Round(0).Sub(l.since.Round(0)))
	l.stale = l.stale || age > c.cfg.AckWait
	l.lapsed = l.lapsed || l.stale
}

// keepAlive sends the heartbeats of everything held, in one burst each time. Heartbeats that trickle
// would keep the server from ever redelivering what a dead worker held. The first burst comes at a random
// moment, so that workers that started together do not burst together, and one comes after each outage.
func (c *Consumer) keepAlive(ctx context.Context) {
	connected := c.nc.StatusChanged(nats.CONNECTED)
	defer c.nc.RemoveStatusListener(connected)
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
		c.beat()
		next = c.cfg.AckWait/3 - rand.N(c.cfg.AckWait/30)
	}
}

// beat sends one burst. While NATS is away there is none: it would only fill the client's buffer.
func (c *Consumer) beat() {
	if !c.nc.IsConnected() {
		return
	}
	start := time.Now()
	leases := c.leases()
	for _, l := range leases {
		if err := c.nc.Publish(l.reply, []byte(inProgress)); err != nil {
			break // Flush says the same
		}
	}
	if err := c.nc.FlushTimeout(flushTimeout); err != nil {
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

// leases returns those that are still this worker's to keep alive. A heartbeat for another's delivery
// would keep that alive, also after its holder died.
func (c *Consumer) leases() []beaten {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	all := make([]beaten, 0, len(c.held))
	for _, l := range c.held {
		c.check(l, now)
		if !l.stale {
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
