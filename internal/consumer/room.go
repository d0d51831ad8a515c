package consumer

import (
	"context"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// One slot in sparePart is spare: only the tasks of a worker that died or drained may take it. Where
// every worker is full of new tasks, those would wait for one of them to end.
const (
	sparePart = 10
	// spareWait is the time between two looks for such tasks while all but the spare slots are taken.
	spareWait = time.Second

	// A pull costs as much as several requests do. While there is room for less than one slot in gatherPart, a pull
	// is put off, for gatherWait at most: there will be more then.
	gatherPart = 8
	gatherWait = 20 * time.Millisecond
)

// room waits until there is room for requests and returns for how many, and whether the room is spare.
// It returns 0 when ctx ends.
func (c *Consumer) room(ctx context.Context) (n int, spare bool) {
	spares := c.cfg.MaxInFlight / sparePart
	for ctx.Err() == nil {
		free := c.cfg.MaxInFlight - c.Held()
		if free > spares {
			return c.gather(ctx, free-spares), false
		}
		if free > 0 && c.spareUsed { // there may be more
			c.spareUsed = false
			return free, true
		}
		tick := time.NewTimer(spareWait)
		select {
		case <-ctx.Done():
		case <-c.freed:
		case <-tick.C:
			if free > 0 {
				return 1, true
			}
		}
		tick.Stop()
	}
	return 0, false
}

// gather waits a moment where there is little room, and returns how much there is then, or 0 when ctx ends.
func (c *Consumer) gather(ctx context.Context, room int) int {
	const looks = 10
	for range looks {
		if room >= c.cfg.MaxInFlight/gatherPart {
			break
		}
		held := c.Held()
		wait(ctx, gatherWait/looks)
		room += held - c.Held()
	}
	if ctx.Err() != nil {
		return 0
	}
	return room
}

// mayUseSpare reports whether a request that was pulled into the spare room is what that is kept for: a
// task that has begun. The server delivers those before new ones. A new one goes back.
func (c *Consumer) mayUseSpare(ctx context.Context, m task.Message) bool {
	if m.Deliveries < 2 {
		return false
	}
	started, err := c.handler.Started(ctx, m)
	c.spareUsed = err == nil && started
	return c.spareUsed
}
