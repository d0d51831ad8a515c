package consumer

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// flushTimeout bounds how long a burst of heartbeats or of NAKs may take to reach the server.
	flushTimeout = 5 * time.Second

	// hangAfter is for how many ACK_WAITs a worker may process a request's content. A request that takes longer hangs its
	// handler. Its lease is left to expire, so that the deliveries that end like this are counted.
	hangAfter = 5
)

// keepAlive extends the leases of all requests in progress until ctx ends, each time in one burst. If heartbeats were
// spread over time, the server would never redeliver what a dead worker had in progress. The first burst comes at a
// random time, because workers may have been started together. One follows each outage, which has used up a part of
// the leases.
func (c *Consumer) keepAlive(ctx context.Context) {
	connected := c.Conn.StatusChanged(nats.CONNECTED)
	defer c.Conn.RemoveStatusListener(connected)
	untilNext := rand.N(c.cfg.AckWait / 3)
	for {
		timer := time.NewTimer(untilNext)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-connected:
			timer.Stop()
			untilNext = rand.N(c.cfg.AckWait / 30)
			continue
		case <-timer.C:
		}
		c.sendHeartbeats(ctx)
		untilNext = c.cfg.AckWait/3 - rand.N(c.cfg.AckWait/30)
	}
}

// sendHeartbeats sends one burst, and notes the leases as extended once the server has received it. With NATS
// unreachable it does nothing: the heartbeats would only fill the client's buffer.
func (c *Consumer) sendHeartbeats(ctx context.Context) {
	if !c.Conn.IsConnected() {
		return
	}
	began := time.Now()
	all := c.heartbeats(c.streamCreated(ctx))
	for _, h := range all {
		if err := c.Conn.Publish(h.reply, []byte(inProgress)); err != nil {
			break // FlushTimeout returns the same error
		}
	}
	if err := c.Conn.FlushTimeout(flushTimeout); err != nil {
		c.log.Warn().Err(err).Int("in_progress", len(all)).Msg("heartbeats did not reach NATS")
		return
	}
	c.extend(all, began)
	c.metrics.heartbeatSeconds.Observe(time.Since(began).Seconds())
}

// heartbeat is a lease to extend, and the reply subject of the delivery that it was for.
type heartbeat struct {
	*lease
	reply string
}

// heartbeats returns the leases to extend: not those that expired, since a heartbeat would also extend the lease of the
// request's new worker, even after that worker died. created is when the stream was created that exists now.
func (c *Consumer) heartbeats(created time.Time) []heartbeat {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	all := make([]heartbeat, 0, len(c.leases))
	for _, l := range c.leases {
		c.noteExpiry(l, now)
		hangs := !l.busySince.IsZero() && now.Sub(l.busySince) > hangAfter*c.cfg.AckWait
		if !l.expired && !hangs && l.streamCreated.Equal(created) {
			all = append(all, heartbeat{lease: l, reply: l.reply})
		}
	}
	return all
}

// extend notes that heartbeats extended these leases, at that time or later.
func (c *Consumer) extend(all []heartbeat, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range all {
		if h.extended.Before(at) {
			h.extended = at
		}
	}
}
