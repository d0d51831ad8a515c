package consumer

import (
	"context"
	"time"
)

const (
	// A pull costs as much as several requests do. While fewer than one slot in gatherPart are free, a pull is put
	// off, for gatherWait at most: more slots will be free then.
	gatherPart = 8
	gatherWait = 20 * time.Millisecond

	// copies is how many times a request is in memory at most while it waits to be submitted: as what is posted,
	// and as what its event needs of it.
	copies = 2

	// included is how much of each request needs no reservation: a held task may take that much in any case.
	included = 8 << 10
)

// weight is how many bytes are reserved for a request of that size.
func weight(size int) int64 { return max(copies*int64(size)-included, 0) }

// headerSize is about how many bytes a header takes.
func headerSize(h map[string][]string) int {
	size := 0
	for name, values := range h {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return size
}

// capacity waits until requests may be pulled and returns how many: there are slots and, if each is as large as
// the server lets through, memory for them. It returns 0 when ctx ends.
func (c *Consumer) capacity(ctx context.Context) int {
	for ctx.Err() == nil {
		if !c.mayPull() {
			wait(ctx, errorWait)
			continue
		}
		if slots := c.cfg.MaxInFlight - c.Held(); slots > 0 && c.fitting() > 0 {
			slots = c.gather(ctx, slots)
			return min(slots, c.fitting(), pullMost)
		}
		select {
		case <-ctx.Done():
		case <-c.freed:
		}
	}
	return 0
}

func (c *Consumer) mayPull() bool { return c.MayPull == nil || c.MayPull() }

// fitting is how many requests there is memory for, whatever their size. One larger than all of the memory fits
// where it is alone.
func (c *Consumer) fitting() int {
	largest := max(c.Conn.MaxPayload(), 1)
	if c.Memory.Reserved() == 0 {
		return int(max(min(c.Memory.Size()/max(weight(int(largest)), 1), pullBytes/largest), 1))
	}
	return int(min(c.Memory.Free()/max(weight(int(largest)), 1), max(pullBytes/largest, 1)))
}

// gather waits a moment where few slots are free, and returns how many are free then, or 0 when ctx ends.
func (c *Consumer) gather(ctx context.Context, slots int) int {
	const looks = 10
	for range looks {
		if slots >= c.cfg.MaxInFlight/gatherPart {
			break
		}
		wait(ctx, gatherWait/looks)
		slots = c.cfg.MaxInFlight - c.Held()
	}
	if ctx.Err() != nil {
		return 0
	}
	return slots
}

// signalFreed wakes the pull loop.
func (c *Consumer) signalFreed() {
	select {
	case c.freed <- struct{}{}:
	default:
	}
}
