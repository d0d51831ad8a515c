package consumer

import (
	"context"
	"math/rand/v2"
	"time"
)

// lease is what is kept of a held request: 16 bytes of reply subject's header, the subject itself and
// two more words, and not the message.
type lease struct {
	reply  string    // where to answer its newest delivery; guarded by Consumer.mu
	since  time.Time // when it was delivered or last kept alive; guarded by Consumer.mu
	lapsed bool      // it was not kept alive for longer than ACK_WAIT at some time; guarded by Consumer.mu
}

// lend notes that a request is held and reports whether it was not before.
func (c *Consumer) lend(seq uint64, reply string) (l *lease, isNew bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, ok := c.held[seq]; ok {
		c.check(l, time.Now())
		l.reply, l.since = reply, time.Now()
		return l, false
	}
	l = &lease{reply: reply, since: time.Now()}
	c.held[seq] = l
	return l, true
}

// release forgets a held request and returns where to answer it.
func (c *Consumer) release(seq uint64) (reply string) {
	c.mu.Lock()
	reply = c.held[seq].reply
	delete(c.held, seq)
	c.mu.Unlock()
	select {
	case c.freed <- struct{}{}:
	default:
	}
	return reply
}

// lapsed reports whether the lease ran out at some time, so that the request may have been delivered to
// somebody else.
func (c *Consumer) lapsed(l *lease) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.check(l, time.Now())
	return l.lapsed
}

// check notes a lease that has run out. The caller holds mu.
func (c *Consumer) check(l *lease, now time.Time) {
	l.lapsed = l.lapsed || now.Sub(l.since) > c.cfg.AckWait
}

// keepAlive sends the heartbeats of everything held, in one burst each time. Heartbeats that trickle
// would keep the server from ever redelivering what a dead worker held. The first burst comes at a random
// moment, so that workers that started together do not burst together.
func (c *Consumer) keepAlive(ctx context.Context) {
	wait(ctx, rand.N(c.cfg.AckWait/3))
	for ctx.Err() == nil {
		c.beat()
		wait(ctx, c.cfg.AckWait/3-rand.N(c.cfg.AckWait/30))
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
		c.answer(l.reply, inProgress)
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

func (c *Consumer) leases() []beaten {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]beaten, 0, len(c.held))
	for _, l := range c.held {
		all = append(all, beaten{lease: l, reply: l.reply})
	}
	return all
}

// extend notes that these leases were kept alive at that time.
func (c *Consumer) extend(leases []beaten, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range leases {
		c.check(b.lease, at)
		if b.since.Before(at) {
			b.since = at
		}
	}
}
