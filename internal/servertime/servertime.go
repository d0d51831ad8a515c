// Package servertime tells the time by the clock of the NATS server, which all workers share.
//
// Records carry times that another worker reads: when a workflow began, and so when its time is up. Two
// machines' clocks may be hours apart; the server's is one. Answers of JetStream's API carry its time, and a
// Clock keeps the difference to this machine's.
package servertime

import (
	"sync/atomic"
	"time"
)

// MaxSkew is how far this machine's clock may be from the server's before somebody should be told.
const MaxSkew = 5 * time.Second

// Clock tells the server's time. The zero Clock, and nil, tell this machine's. Its methods may be called by
// many goroutines at once.
type Clock struct {
	offset atomic.Int64 // nanoseconds from this machine's time to the server's
}

// Now returns the time by the server's clock, in UTC.
func (c *Clock) Now() time.Time { return time.Now().Add(c.Skew()).UTC() }

// Skew returns how far the server's clock is ahead of this machine's; negative where it is behind.
func (c *Clock) Skew() time.Duration {
	if c == nil {
		return 0
	}
	return time.Duration(c.offset.Load())
}

// Observe takes in the time that an answer of the server carries. asked and answered are this machine's
// times before the call and after it: the server's time belongs to a moment between them. A difference of
// no more than the call took says nothing, and counts as none.
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
