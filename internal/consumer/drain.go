package consumer

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/timer"
)

// closedWait is how long handlers may take to return after the connection was closed. A handler that hangs must not
// keep the process running.
const closedWait = 5 * time.Second

// handOver has a released request redelivered to another worker at once. Its NAK is held back until the pull loop has
// ended, because an open pull of this worker would get the request again. The handler does not wait for that: with NATS
// unreachable a pull lasts for 1.5 s, and the lease may expire in the meantime.
func (c *Consumer) handOver(l *lease, reply string) {
	c.mu.Lock()
	c.handedOver = append(c.handedOver, l)
	mayAnswer := c.pullsEnded
	c.mu.Unlock()
	if mayAnswer {
		c.answer(reply, nak)
	}
}

// sendNAKs sends the NAKs of all requests that were handed over, if their leases are still valid and their stream was not
// recreated. From now on no NAK is held back.
func (c *Consumer) sendNAKs(ctx context.Context) {
	var replies []string
	created := c.streamCreated(ctx)
	c.mu.Lock()
	c.pullsEnded = true
	for _, l := range c.handedOver {
		c.noteExpiry(l, time.Now())
		if !l.expired && l.streamCreated.Equal(created) {
			replies = append(replies, l.reply)
		}
	}
	c.mu.Unlock()
	for _, reply := range replies {
		c.answer(reply, nak)
	}
}

// awaitHandlers returns when all handlers have returned, or closedWait after the connection was closed.
func (c *Consumer) awaitHandlers() {
	closed := c.Conn.StatusChanged(nats.CLOSED)
	defer c.Conn.RemoveStatusListener(closed)
	returned := make(chan struct{})
	go func() {
		c.handlers.Wait()
		close(returned)
	}()
	if !c.Conn.IsClosed() {
		select {
		case <-returned:
			return
		case <-closed:
		}
	}
	select {
	case <-returned:
	case <-time.After(closedWait):
		c.log.Error().Int("in_progress", c.InProgress()).Msg("handlers did not return, abandoned")
	}
}

// confirmHandOver returns when the server has received all NAKs, or when the connection is closed. NAKs that were sent
// over a connection that broke may be lost, so it sends them again: at worst a request changes its worker once more.
// With nothing to hand over it does not wait for NATS. reconnects is the connection's count before the first NAK.
func (c *Consumer) confirmHandOver(ctx context.Context, reconnects uint64) {
	for {
		if c.countHandedOver() == 0 && !c.Conn.IsConnected() {
			c.log.Info().Msg("drain ended with nothing to hand over")
			return
		}
		err := c.Batcher.Flush(flushTimeout)
		now := c.Conn.Stats().Reconnects
		if err == nil && now == reconnects { // all NAKs went over one connection
			c.log.Info().Msg("drain ended")
			return
		}
		reconnects = now
		c.log.Warn().Err(err).Msg("could not hand over tasks, retrying")
		for !c.Conn.IsConnected() {
			if c.Conn.IsClosed() {
				c.log.Warn().Msg("tasks not handed over, will be redelivered after ACK_WAIT")
				return
			}
			_ = timer.Sleep(ctx, retryWait/10, nil)
		}
		c.sendNAKs(ctx)
	}
}

func (c *Consumer) countHandedOver() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.handedOver)
}
