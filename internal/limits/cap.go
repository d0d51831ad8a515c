package limits

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/jet"
)

// The cap follows what the API accepts, as TCP follows what a path carries: it grows in small steps while nothing is
// refused, and falls to what fits when something is (additive increase, multiplicative decrease; RFC 5681, section 3.1).
const (
	// changeInterval is the least time between two changes. A change needs some seconds to take effect: tasks that are
	// held already stay held.
	changeInterval = 10 * time.Second

	// The first raise after a refusal is a 20th of the ceiling. Each further one is twice as large, up to largestRaise times
	// the first (slow start, as after a loss in TCP): another user who leaves may leave half of the plan at once.
	raiseSteps   = 20
	largestRaise = 8

	// After a refusal the cap is not raised for firstWait, and for twice as long after each refusal that follows a
	// raise, up to longestWait: each raise that comes too early costs some refusals. After provenSteps raises without a
	// refusal the wait starts over. It ends early when provenTasks have begun since: a queue of short tasks needs the
	// whole plan soon after another user has left, and some refusals in so many tasks are few.
	firstWait   = 20 * time.Second
	longestWait = 5 * time.Minute
	provenSteps = 4
	provenTasks = 100

	// One refusal lowers the cap to no less than 1/mostLowered of it: the count of running workflows may miss a worker that
	// does not answer.
	mostLowered = 2
)

// othersLast is for how long a count of the sessions of others bounds the cap.
const othersLast = 2 * time.Minute

// mostLasts is for how long a worker's MAX_IN_FLIGHT_TOTAL bounds the cap of all. The worker renews it before.
const mostLasts = 3 * time.Minute

// Cap is how many tasks all workers together may hold, and why: the value of the key "limits".
type Cap struct {
	InFlight  int       `json:"in_flight" desc:"how many tasks all workers together may hold"`
	Plan      int       `json:"plan" desc:"the plan's browsers; -1: no limit, 0: not known"`
	Reason    string    `json:"reason" desc:"why"`
	ChangedAt time.Time `json:"changed_at" desc:"when in_flight last changed"`

	PlanAt time.Time `json:"plan_at,omitzero" desc:"when the API told the plan"`
	Most   int       `json:"most,omitzero" desc:"the lowest MAX_IN_FLIGHT_TOTAL of the workers; left out if all have auto"`
	MostAt time.Time `json:"most_at,omitzero" desc:"when a worker with that setting last said so"`

	Others   int       `json:"others,omitzero" desc:"with SESSIONS=on: browser sessions of the account that are not of Capstan's tasks"`
	OthersAt time.Time `json:"others_at,omitzero" desc:"when they were counted last"`

	Wait    time.Duration `json:"wait,omitzero" desc:"from the last refusal to the next raise, in nanoseconds"`
	Steps   int           `json:"steps,omitzero" desc:"raises since the last refusal"`
	RaiseAt time.Time     `json:"raise_at,omitzero" desc:"when in_flight may be raised again"`

	Delivered uint64 `json:"delivered,omitzero" desc:"how many requests had been delivered at the last refusal: a hundred later in_flight may be raised again as well"`
}

// seen is what a worker has seen since the last change, and what it knows.
type seen struct {
	plan    int       // as in Cap
	planAt  time.Time // when it was told
	most    int       // its MAX_IN_FLIGHT_TOTAL; 0: auto
	held    int       // tasks that all workers hold
	refused bool      // the API refused a submission because too many browsers run
	running int       // workflows that ran on all workers when it did; 0: not known

	delivered uint64 // requests that the consumer has delivered

	others   int       // as in Cap
	othersAt time.Time // when they were counted; zero: not by this worker
}

// many bounds the numbers that have no bound of their own.
const many = 1_000_000

// parseCap reads a stored cap. A value that no worker wrote is like none.
func parseCap(value []byte) Cap {
	var c Cap
	if json.Unmarshal(value, &c) != nil || !c.isValid() {
		return Cap{}
	}
	return c
}

// isValid reports whether a worker can have written the cap.
func (c Cap) isValid() bool {
	return c.InFlight >= 1 && c.InFlight <= jet.MaxAckPending && !c.ChangedAt.IsZero() && c.Plan >= -1 && c.Plan <= many &&
		c.Others >= 0 && c.Others <= many && c.Most >= 0 && c.Most <= jet.MaxAckPending && c.Wait >= 0 && c.Wait <= longestWait && c.Steps >= 0 && c.Steps <= many
}

// Ceiling returns the largest number of tasks that all workers may hold: what the plan runs, and no more than most. A plan
// of 0 is not known, a negative one has no limit, and a most of 0 is no bound.
func Ceiling(plan, most int) int {
	highest := jet.DefaultAckPending
	switch {
	case plan > 0 && most > 0:
		highest = min(plan, most)
	case plan > 0:
		highest = plan
	case most > 0:
		highest = most
	}
	return min(highest, jet.MaxAckPending)
}

// ceiling returns the largest number of tasks that all workers may hold while others use browsers of the plan.
func (c Cap) ceiling() int {
	if c.Plan <= 0 {
		return Ceiling(c.Plan, c.Most)
	}
	return Ceiling(max(1, c.Plan-c.Others), c.Most)
}

// next returns the cap that follows from what was seen, or the same one if nothing changes. It is the zero Cap as long as
// neither a plan nor a setting is known.
func (c Cap) next(s seen, now time.Time) Cap {
	before := c
	c = c.withPlan(s).withMost(s, now).withOthers(s, now)
	highest := c.ceiling()
	switch {
	case c.Plan == 0 && c.Most == 0:
		return before
	case before.InFlight == 0, before.InFlight > highest, before.InFlight == before.ceiling() && before.InFlight != highest:
		// A cap that was lowered stays, unless it is too high.
		c.InFlight, c.Reason, c.ChangedAt = highest, c.boundReason(), now
		return c
	case now.Sub(c.ChangedAt).Abs() < changeInterval:
		return c
	case s.refused:
		return c.lowered(s, now)
	case c.InFlight < highest && c.mayRise(s, now) && c.isUsed(s.held):
		return c.raised(highest, now)
	default:
		return c
	}
}

// withPlan returns the cap with the plan that was told last.
func (c Cap) withPlan(s seen) Cap {
	if s.plan != 0 && s.plan != c.Plan && s.planAt.After(c.PlanAt) {
		c.Plan, c.PlanAt = s.plan, s.planAt
	}
	return c
}

// withMost returns the cap with the lowest setting of those workers that said theirs lately.
func (c Cap) withMost(s seen, now time.Time) Cap {
	age := now.Sub(c.MostAt).Abs()
	if age > mostLasts {
		c.Most, c.MostAt = 0, time.Time{}
	}
	isLower := s.most > 0 && (c.Most == 0 || s.most < c.Most)
	if isLower || s.most > 0 && s.most == c.Most && age > mostLasts/3 {
		c.Most, c.MostAt = s.most, now
	}
	return c
}

// withOthers returns the cap with the newest count of the sessions of others, unless that is old.
func (c Cap) withOthers(s seen, now time.Time) Cap {
	if s.othersAt.After(c.OthersAt) {
		c.Others, c.OthersAt = s.others, s.othersAt
	}
	if now.Sub(c.OthersAt).Abs() > othersLast {
		c.Others, c.OthersAt = 0, time.Time{}
	}
	return c
}

// mayRise reports whether the wait after the last refusal is over. The clock may have gone back since.
func (c Cap) mayRise(s seen, now time.Time) bool {
	isProven := c.Delivered > 0 && s.delivered >= c.Delivered+provenTasks
	return isProven || !now.Before(c.RaiseAt) || c.RaiseAt.Sub(now) > longestWait
}

// isUsed reports whether nearly all of the cap is used. If more are held, tasks from before the last change are among them.
func (c Cap) isUsed(held int) bool { return held >= c.InFlight*9/10 && held <= c.InFlight }

// boundReason says what the ceiling is.
func (c Cap) boundReason() string {
	switch highest := c.ceiling(); {
	case highest == c.Most:
		return "as set by MAX_IN_FLIGHT_TOTAL"
	case c.Plan > 0 && c.Others > 0:
		return fmt.Sprintf("the plan runs %d browsers, and others use %d of them", c.Plan, c.Others)
	case c.Plan > 0:
		return fmt.Sprintf("the plan runs %d browsers", c.Plan)
	case c.Plan < 0:
		return "the plan has no limit"
	default:
		return "the plan is not known"
	}
}

// lowered lowers the cap to what ran when the API refused more. After a raise that came too early, the next one waits for
// longer.
func (c Cap) lowered(s seen, now time.Time) Cap {
	fits := max(s.running, c.InFlight/mostLowered)
	c.InFlight = max(1, min(fits, c.InFlight-1))
	if c.Steps > 0 {
		c.Wait *= 2
	}
	c.Wait = min(max(c.Wait, firstWait), longestWait)
	c.RaiseAt, c.Delivered, c.ChangedAt, c.Steps = now.Add(c.Wait), s.delivered, now, 0
	c.Reason = "the API refused more"
	if s.running > 0 {
		c.Reason = fmt.Sprintf("the API refused more while %d ran", s.running)
	}
	return c
}

// raised raises the cap by a step. It was lowered by a refusal: nothing else sets it below the ceiling.
func (c Cap) raised(highest int, now time.Time) Cap {
	c.Steps++
	if c.Steps >= provenSteps {
		c.Wait = 0
	}
	raise := max(1, highest/raiseSteps) * min(1<<min(c.Steps-1, 10), largestRaise)
	c.InFlight = min(c.InFlight+raise, highest)
	c.RaiseAt, c.ChangedAt = now.Add(changeInterval), now
	c.Reason = "rising again after the API refused more"
	if c.InFlight == highest {
		c.Reason = c.boundReason()
	}
	return c
}
