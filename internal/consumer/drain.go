package consumer

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// closedWait is how long handlers may take to end after the connection was closed. One that hangs must not
// keep the process.
const closedWait = 5 * time.Second

// awaitHandlers returns when all handlers have ended, or a while after the connection was closed.
func (c *Consumer) awaitHandlers() {
	closed := c.Conn.StatusChanged(nats.CLOSED)
	defer c.Conn.RemoveStatusListener(closed)
	ended := make(chan struct{})
	go func() {
		c.handlers.Wait()
		close(ended)
	}()
	if !c.Conn.IsClosed() {
		select {
		case <-ended:
			return
		case <-closed:
		}
	}
	select {
	case <-ended:
	case <-time.After(closedWait):
		c.log.Error().Int("held", c.Held()).Msg("handlers did not end, abandoned")
	}
}

// handOver returns when the server has the NAKs, or when the connection is closed. A NAK that was sent into a
// connection that broke may be lost, and is sent again: at worst a task changes its worker once more. Where there
// is none to send, it does not wait for NATS.
func (c *Consumer) handOver(ctx context.Context, link uint64) {
	for {
		if c.handedOver() == 0 && !c.Conn.IsConnected() {
			c.log.Info().Msg("drain ended with nothing to hand over")
			return
		}
		err := c.Batcher.Flush(flushTimeout)
		now := c.Conn.Stats().Reconnects
		if err == nil && now == link { // all of it went over one connection
			c.log.Info().Msg("drain ended")
			return
		}
		link = now
		c.log.Warn().Err(err).Msg("could not hand over tasks, retrying")
		for !c.Conn.IsConnected() {
			if c.Conn.IsClosed() {
				c.log.Warn().Msg("tasks were not handed over, they are redelivered after ACK_WAIT")
				return
			}
			wait(ctx, errorWait/10)
		}
		for _, reply := range c.unconfirmed() {
			c.answer(reply, nak)
		}
	}
}

// nack answers a released request's delivery so that it is redelivered at once.
func (c *Consumer) nack(l *lease, reply string) {
	c.mu.Lock()
	c.nacked = append(c.nacked, l)
	c.mu.Unlock()
	c.answer(reply, nak)
}

// handedOver is how many requests were handed over.
func (c *Consumer) handedOver() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.nacked)
}

// unconfirmed is where the requests that were handed over are answered, as far as their leases are valid.
func (c *Consumer) unconfirmed() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var replies []string
	for _, l := range c.nacked {
		c.check(l, time.Now())
		if !l.expired {
			replies = append(replies, l.reply)
		}
	}
	return replies
}
