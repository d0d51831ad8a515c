package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
)

// mostPending is the number of pending messages beyond which a consumer redelivers a dead worker's tasks
// too late: the server searches all of them for expired leases. The rule of package streams allows more, so
// this is only a warning.
const mostPending = 50_000

// api checks that the API accepts the key. It reports an API that cannot be reached as a warning: a worker
// waits for it, and must be able to start during the outage. Its only call is free of charge and starts
// nothing (see anchor.Client.Plan).
func (c *checker) api(ctx context.Context, version string) {
	const subject = "API"
	client, err := anchor.New(c.cfg.Anchor, version, prometheus.NewRegistry())
	if err != nil {
		c.add(Bad, subject, "%v", err)
		return
	}
	defer client.Close()
	// The first call needs a name lookup, a connection and a TLS handshake.
	ctx, cancel := context.WithTimeout(ctx, 3*callTimeout)
	defer cancel()
	plan, err := client.Plan(ctx)
	refused, isRefused := errors.AsType[*anchor.RefusedError](err)
	stranger, isStranger := errors.AsType[*anchor.NotTheAPIError](err)
	switch {
	case isRefused:
		c.add(Bad, subject, "%v. Check ANCHORBROWSER_API_KEY (or _FILE), and the account's credits and cost limit", refused)
	case isStranger:
		c.add(Bad, subject, "%v. Check ANCHORBROWSER_BASE_URL: it must be the scheme and host of the API, without a path", stranger)
	case err != nil:
		c.add(Warn, subject, "cannot be reached: %v. Workers start anyway and submit once it is back", err)
	case plan.Credits <= 0:
		c.add(Warn, subject, "key accepted, but no credits are left: submissions will pause")
		c.capacity(plan)
	default:
		c.add(OK, subject, "key accepted, plan %q, %.2f credits left", plan.Tier, plan.Credits)
		c.capacity(plan)
	}
}

// capacity compares the number of tasks in progress on all workers with what the plan and NATS allow.
// plan.Browsers is 0 if the API did not say how many browsers run at once, and below 0 if there is no
// limit. It reports one line, about the first of them that does not fit.
func (c *checker) capacity(plan anchor.Plan) {
	const subject = "MAX_IN_FLIGHT_TOTAL"
	total := c.cfg.MaxInFlightTotal
	switch {
	case total > mostPending:
		c.add(Warn, subject, "%d: above %d NATS redelivers a dead worker's tasks too late. Set %d or less", total, mostPending, mostPending)
	case plan.Browsers > 0 && total > plan.Browsers:
		c.add(Warn, subject, "%d: the plan runs %d browsers at once, and the API answers 429 above that. Set %d or less", total, plan.Browsers, plan.Browsers)
	case total < c.cfg.MaxInFlight:
		c.add(Warn, subject, "%d is less than MAX_IN_FLIGHT, %d: one worker cannot use all its slots. Set it to workers × MAX_IN_FLIGHT", total, c.cfg.MaxInFlight)
	case plan.Browsers == 0:
		c.add(OK, subject, "%d; the API did not say how many browsers the plan runs at once. %s", total, c.survivors())
	case plan.Browsers < 0:
		c.add(OK, subject, "%d; the plan has no browser limit. %s", total, c.survivors())
	default:
		c.add(OK, subject, "%d of the %d browsers that the plan runs at once. %s", total, plan.Browsers, c.survivors())
	}
}

// survivors says how many workers are needed so that a dead worker's tasks find free slots at once, even if all others
// are full. With fewer, they wait until a slot is free.
func (c *checker) survivors() string {
	if c.cfg.MaxInFlight < 1 { // reported among the settings
		return ""
	}
	// So many workers, rounded up, have enough slots for all tasks in progress. One more makes up for a
	// dead one.
	full := (c.cfg.MaxInFlightTotal + c.cfg.MaxInFlight - 1) / c.cfg.MaxInFlight
	return fmt.Sprintf("With %d or more workers there is always room for a dead worker's tasks", full+1)
}
