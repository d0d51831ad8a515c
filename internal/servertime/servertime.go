// Package servertime is the clock of the NATS server, which all workers share.
//
// Records carry times that other workers read. An example is when a workflow began, which decides when it times out.
// The clocks of two machines may differ by hours. Answers of JetStream's API carry the server's time, and a Clock keeps
// its difference from this machine's.
package servertime

import (
	"sync/atomic"
	"time"
)

// MaxSkew is how far this machine's clock may be from the server's without a warning.
const MaxSkew = 5 * time.Second

// Clock tells the server's time. The zero Clock, and nil, tell this machine's. Its methods are safe for concurrent use.
type Clock struct {
	offset atomic.Int64 // nanoseconds from this machine's time to the server's
}

// Now returns the server's time, in UTC.
func (c *Clock) Now() time.Time { return time.Now().Add(c.Skew()).UTC() }

// At returns the server's time at a moment of this machine's clock, in UTC. The zero time stays zero.
func (c *Clock) At(moment time.Time) time.Time {
	if moment.IsZero() {
		return moment
	}
	return moment.Add(c.Skew()).UTC()
}

// Skew returns how far the server's clock is ahead of this machine's; it is negative if the server's is behind.
func (c *Clock) Skew() time.Duration {
	if c == nil {
		return 0
	}
	return time.Duration(c.offset.Load())
}

// Observe sets the clock by an answer of the server that carries its time. asked and answered are this machine's times
// before and after the call; the server's time lies between them. A difference of half the time that the call took, or
// less, may be the network's and counts as none. A zero server time changes nothing.
func (c *Clock) Observe(server, asked, answered time.Time) {
	if server.IsZero() {
		return
	}
	took := answered.Sub(asked)
	offset := server.Sub(asked.Round(0).Add(took / 2))
	if offset.Abs() <= took/2 {
		offset = 0
	}
	c.offset.Store(int64(offset))
}
