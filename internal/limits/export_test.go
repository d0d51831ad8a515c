package limits

import "time"

// Seen is exported for the simulation.
type Seen struct {
	Plan, Held int
	Refused    bool
	Running    int
	Delivered  uint64
}

// Next is exported for the simulation, which needs no NATS.
func (c Cap) Next(s Seen, now time.Time) Cap {
	return c.next(seen{plan: s.Plan, planAt: now, held: s.Held, refused: s.Refused, running: s.Running, delivered: s.Delivered}, now)
}

// ParseCap is exported for a test of its own.
var ParseCap = parseCap
