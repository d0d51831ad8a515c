package check

import (
	"fmt"

	"github.com/capstan-worker/capstan/internal/anchor"
)

// latePending is from where on a consumer passes on a dead worker's tasks too late.
const latePending = 50_000

// places compares how many tasks all workers hold with what the plan runs at once, and NATS passes on.
func (c *checker) places(plan anchor.Plan) {
	const what = "MAX_IN_FLIGHT_TOTAL"
	total := c.cfg.MaxInFlightTotal
	switch {
	case total > latePending:
		c.say(Warn, what, "%d: beyond %d NATS passes on a dead worker's tasks too late. Set less", total, latePending)
	case plan.Browsers > 0 && total > plan.Browsers:
		c.say(Warn, what, "%d: the plan runs %d browsers at once, and the API answers 429 beyond. Set %d or less", total, plan.Browsers, plan.Browsers)
	case total < c.cfg.MaxInFlight:
		c.say(Warn, what, "%d is less than MAX_IN_FLIGHT, %d: one worker cannot use all its slots. Set workers × MAX_IN_FLIGHT", total, c.cfg.MaxInFlight)
	case plan.Browsers == 0:
		c.say(OK, what, "%d; the API did not say how many browsers the plan runs at once. %s", total, c.survivors())
	case plan.Browsers < 0:
		c.say(OK, what, "%d; the plan has no browser limit. %s", total, c.survivors())
	default:
		c.say(OK, what, "%d of the %d browsers that the plan runs at once. %s", total, plan.Browsers, c.survivors())
	}
}

// survivors says how many workers it takes for the tasks of one that dies to find slots at once, even if all are
// full. With fewer, each worker's tenth that is kept for that has to do.
func (c *checker) survivors() string {
	if c.cfg.MaxInFlight < 1 { // a mistake that is told
		return ""
	}
	full := (c.cfg.MaxInFlightTotal + c.cfg.MaxInFlight - 1) / c.cfg.MaxInFlight
	return fmt.Sprintf("With %d or more workers there is always room for a dead worker's tasks", full+1)
}
