package check

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/limits"
)

// manyPending is how many pending messages of a consumer are worth a warning: the server searches all of them for expired
// leases, so the more there are, the later it redelivers a dead worker's tasks.
const manyPending = jet.MaxAckPending / 2

// api checks that the API accepts the key. It reports an API that cannot be reached as a warning: a worker
// waits for it, and must be able to start during the outage. Its only call is free of charge and starts
// nothing (see anchor.Client.Plan).
func (c *checker) api(ctx context.Context, version string) {
	const subject = "API"
	client, err := anchor.New(c.cfg.Anchor, version, prometheus.NewRegistry())
	if err != nil && slices.Contains(c.mistakes, err.Error()) {
		c.add(Warn, subject, "not checked: its settings are wrong, see above")
		return
	}
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
		c.capacity(ctx, plan)
	default:
		c.add(OK, subject, "key accepted, plan %q, %.2f credits left", plan.Tier, plan.Credits)
		c.capacity(ctx, plan)
	}
}

// capacity says how many tasks all workers may have in progress, by the plan and by the setting, and whether a worker can
// use its slots. plan.Browsers is 0 if the API did not say how many browsers run at once, and below 0 if there is no
// limit.
func (c *checker) capacity(ctx context.Context, plan anchor.Plan) {
	const subject = "MAX_IN_FLIGHT_TOTAL"
	setting := c.cfg.MaxInFlightTotal.Most()
	total := limits.Ceiling(plan.Browsers, setting)
	text := fmt.Sprintf("%d of the %d browsers that the plan runs at once", total, plan.Browsers)
	switch {
	case plan.Browsers < 0:
		text = fmt.Sprintf("%d; the plan has no browser limit", total)
	case plan.Browsers == 0:
		text = fmt.Sprintf("%d; the API did not say how many browsers the plan runs at once", total)
	}
	switch {
	case total > manyPending:
		c.add(Warn, subject, "%d: above %d NATS redelivers a dead worker's tasks too late. Set %d or less", total, manyPending, manyPending)
	case setting > 0 && total < c.cfg.MaxInFlight && total == setting:
		c.add(Warn, subject, "%d is less than MAX_IN_FLIGHT, %d: one worker cannot use all its slots. Set auto, or workers × MAX_IN_FLIGHT", total, c.cfg.MaxInFlight)
	default:
		if cannot := c.cannotSet(ctx, total); cannot != "" {
			c.add(Warn, subject, "%s, but %s", text, cannot)
			return
		}
		c.add(OK, subject, "%s. %s", text, c.survivors(total))
	}
}

// cannotSet says why workers cannot give the consumer this limit. It returns "" if they can, if the consumer has it, and
// if the consumer cannot be asked about it: another check reports that.
func (c *checker) cannotSet(ctx context.Context, total int) string {
	if c.nc == nil {
		return ""
	}
	cfg := c.cfg.Streams()
	js, err := c.cfg.NATS.JetStream(c.nc)
	if err != nil {
		return ""
	}
	pending, err := limits.NATSConsumer{JS: js, Stream: cfg.Requests.Name, Name: cfg.Consumer}.Pending(ctx)
	if err != nil || pending.Most == total {
		return ""
	}
	if missing := c.missingPermission(ctx, cfg.LimitSubject()); missing != "" {
		return fmt.Sprintf("the consumer has %d, and workers cannot change it: %s", pending.Most, missing)
	}
	return ""
}

// survivors says how many workers are needed so that a dead worker's tasks find free slots at once, even if all others
// are full. With fewer, they wait until a slot is free.
func (c *checker) survivors(total int) string {
	if c.cfg.MaxInFlight < 1 { // reported among the settings
		return ""
	}
	// So many workers, rounded up, have enough slots for all tasks in progress. One more makes up for a
	// dead one.
	full := (total + c.cfg.MaxInFlight - 1) / c.cfg.MaxInFlight
	return fmt.Sprintf("With %d or more workers there is always room for a dead worker's tasks", full+1)
}
