package limits

import (
	"encoding/json"
	"fmt"
	"time"
)

// The cap follows what the API accepts, as TCP follows what a path carries: it grows in small steps while nothing is
// refused, and falls to what fits when something is (additive increase, multiplicative decrease; RFC 5681, section 3.1).
const (
	// noLimit is the cap where the plan has no limit, or is not known.
	noLimit = 10_000

	// changeInterval is the least time between two changes. A change needs some seconds to take effect: tasks that are
	// held already stay held.
	changeInterval = 10 * time.Second

	// The first raise after a refusal is a 20th of the ceiling. Each further one is twice as large, up to largestRaise times
	// the first (slow start, as after a loss in TCP): another user who leaves may leave half of the plan at once.
	raiseSteps   = 20
	largestRaise = 8

	// After a refusal the cap is not raised for firstWait, and for twice as long after each refusal that follows a
	// raise, up to longestWait: each raise that comes too early costs a refusal. After provenSteps raises without a
	// refusal the wait starts over.
	firstWait   = 20 * time.Second
	longestWait = 5 * time.Minute
	provenSteps = 4

	// mostLowered is the smallest part of the cap that one refusal leaves: the count of running workflows may miss a
	// worker that does not answer.
	mostLowered = 2
)

// Cap is how many tasks all workers together may hold, and why: the value of the key "limits".
type Cap struct {
	InFlight  int       `json:"in_flight"`
	Plan      int       `json:"plan"` // the plan's browsers; -1: no limit; 0: not known
	Reason    string    `json:"reason"`
	ChangedAt time.Time `json:"changed_at"`

	Wait    time.Duration `json:"wait,omitzero"`  // from the last refusal to the next raise, in nanoseconds
	Steps   int           `json:"steps,omitzero"` // raises since the last refusal
	RaiseAt time.Time     `json:"raise_at,omitzero"`
}

// seen is what a worker has seen since the last change.
type seen struct {
	plan    int  // as in Cap
	held    int  // tasks that all workers hold
	refused bool // the API refused a submission because too many browsers run
	running int  // workflows that ran on all workers when it did
}

// parseCap reads a stored cap. A value that no worker wrote is like none.
func parseCap(value []byte) Cap {
	var c Cap
	if json.Unmarshal(value, &c) != nil || c.InFlight < 1 || c.InFlight > mostInFlight || c.ChangedAt.IsZero() {
		return Cap{}
	}
	return c
}

// mostInFlight is the largest useful MaxAckPending: with more, NATS redelivers a dead worker's requests too late.
const mostInFlight = 100_000

// Ceiling returns the largest number of tasks that all workers may hold: what the plan runs, and no more than most. A plan
// of 0 is not known, a negative one has no limit, and a most of 0 is no bound.
func Ceiling(plan, most int) int {
	highest := plan
	if plan <= 0 {
		highest = noLimit
	}
	if most > 0 {
		highest = min(highest, most)
	}
	return highest
}

// next returns the cap that follows from what was seen, or the same one if nothing changes.
func (c Cap) next(s seen, most int, now time.Time) Cap {
	if s.plan == 0 {
		s.plan = c.Plan // another worker may know it
	}
	highest := Ceiling(s.plan, most)
	switch {
	case c.InFlight == 0:
		return Cap{InFlight: highest, Plan: s.plan, Reason: planReason(s.plan, highest), ChangedAt: now}
	case now.Sub(c.ChangedAt).Abs() < changeInterval:
		return c
	case c.Plan != s.plan || c.InFlight > highest:
		return c.withPlan(s.plan, highest, most, now)
	case s.refused:
		return c.lowered(s.running, now)
	case c.InFlight < highest && !now.Before(c.RaiseAt) && c.isUsed(s.held):
		return c.raised(highest, now)
	default:
		return c
	}
}

// isUsed reports whether nearly all of the cap is used. If more are held, tasks from before the last change are among them.
func (c Cap) isUsed(held int) bool { return held >= c.InFlight*9/10 && held <= c.InFlight }

// withPlan follows a plan or a setting that has changed. A cap that was lowered stays, unless it is too high.
func (c Cap) withPlan(plan, highest, most int, now time.Time) Cap {
	wasHighest := c.InFlight >= Ceiling(c.Plan, most)
	c.Plan = plan
	if !wasHighest && c.InFlight <= highest {
		return c
	}
	c.InFlight, c.Reason, c.ChangedAt = highest, planReason(plan, highest), now
	return c
}

func planReason(plan, highest int) string {
	switch {
	case plan > 0 && plan == highest:
		return fmt.Sprintf("the plan runs %d browsers", plan)
	case plan > 0:
		return "as set by MAX_IN_FLIGHT_TOTAL"
	case plan < 0:
		return "the plan has no limit"
	default:
		return "the plan is not known"
	}
}

// lowered lowers the cap to what ran when the API refused more.
func (c Cap) lowered(running int, now time.Time) Cap {
	fits := max(running, c.InFlight/mostLowered)
	c.InFlight = max(1, min(fits, c.InFlight-1))
	c.Wait = min(max(2*c.Wait, firstWait), longestWait)
	c.RaiseAt, c.ChangedAt, c.Steps = now.Add(c.Wait), now, 0
	c.Reason = fmt.Sprintf("the API refused more while %d ran", running)
	return c
}

// raised raises the cap by a step.
func (c Cap) raised(highest int, now time.Time) Cap {
	c.Steps++
	if c.Steps >= provenSteps {
		c.Wait = 0
	}
	raise := max(1, highest/raiseSteps) * min(1<<min(c.Steps-1, 10), largestRaise)
	c.InFlight = min(c.InFlight+raise, highest)
	c.RaiseAt, c.ChangedAt = now.Add(changeInterval), now
	c.Reason = "nothing was refused"
	return c
}
