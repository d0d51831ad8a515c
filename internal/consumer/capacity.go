package consumer

import (
	"context"
	"time"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/timer"
)

const (
	// A pull costs as much as several requests do. While fewer than an eighth of the slots are free, the next pull waits
	// for more of them, but no longer than gatherWait.
	gatherShare = 8
	gatherWait  = 20 * time.Millisecond

	// copies is how many times a request is in memory at most until it is submitted: as the body of the POST, and as the
	// fields that its event needs.
	copies = 2

	// freeBytes is how much of each request needs no reservation. Every task takes about that much anyway.
	freeBytes = 8 << 10
)

// weight returns how many bytes are reserved for a request of a size.
func weight(size int) int64 { return max(copies*int64(size)-freeBytes, 0) }

// headerSize returns about how many bytes a header takes.
func headerSize(h map[string][]string) int {
	size := 0
	for name, values := range h {
		for _, value := range values {
			size += len(name) + len(value)
		}
	}
	return size
}

// awaitCapacity waits until requests may be pulled, and returns how many: there are slots for them, and also memory if
// each is as large as the server permits. It returns 0 when ctx ends.
func (c *Consumer) awaitCapacity(ctx context.Context) int {
	for ctx.Err() == nil {
		if c.MayPull != nil && !c.MayPull() {
			_ = timer.Sleep(ctx, retryWait, nil)
			continue
		}
		if c.mostToPull() == 0 {
			select {
			case <-ctx.Done():
			case <-c.freed:
			}
			continue
		}
		c.gatherSlots(ctx)
		if n := c.mostToPull(); n > 0 && ctx.Err() == nil {
			return n
		}
	}
	return 0
}

// mostToPull returns how many requests may be pulled now.
func (c *Consumer) mostToPull() int {
	return max(0, min(c.freeSlots(), c.fitsInMemory(), jet.PullBatch))
}

func (c *Consumer) freeSlots() int { return c.cfg.MaxInFlight - c.InProgress() }

// fitsInMemory returns for how many requests there is memory, whatever their size. A request that exceeds the whole
// budget fits if no other is in progress.
func (c *Consumer) fitsInMemory() int {
	largest := max(c.Conn.MaxPayload(), 1)
	reserve := max(weight(int(largest)), 1)
	if c.Memory.Reserved() == 0 {
		return int(max(min(c.Memory.Size()/reserve, pullBytes/largest), 1))
	}
	return int(min(c.Memory.Free()/reserve, max(pullBytes/largest, 1)))
}

// gatherSlots waits a moment for more slots if few are free, or until ctx ends.
func (c *Consumer) gatherSlots(ctx context.Context) {
	const checks = 10
	for range checks {
		if c.freeSlots() >= c.cfg.MaxInFlight/gatherShare || timer.Sleep(ctx, gatherWait/checks, nil) != nil {
			return
		}
	}
}

// signalFreed wakes the pull loop.
func (c *Consumer) signalFreed() {
	select {
	case c.freed <- struct{}{}:
	default:
	}
}
