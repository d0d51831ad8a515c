package streams

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
)

const (
	// maxWaiting is how many pulls of all workers may wait at the consumer that a worker creates. minWaiting is NATS'
	// default, and so what an operator may have left unchanged.
	maxWaiting = 4096
	minWaiting = 512
)

type (
	consumerConfig = jetstream.ConsumerConfig
	consumerRule   = rule[consumerConfig]
)

// consumerRules apply to the durable pull consumer that all workers share. The stream stores requests under these
// patterns.
func consumerRules(cfg Config, stored []string) []consumerRule {
	return slices.Concat(filterRules(cfg.Requests.Subject, stored), leaseRules(cfg), deliveryRules(), pullRules())
}

// filterRules say which messages the consumer delivers: those of the subject, under the patterns by which the stream
// stores them. A consumer with a filter for something else belongs to another application. Filters for partitions of the
// requests are an operator's choice.
func filterRules(subject string, stored []string) []consumerRule {
	fields := []string{"FilterSubject", "FilterSubjects"}
	return []consumerRule{
		{
			fields: fields, want: "filter must include " + subject, isOwner: true, isInitial: true,
			got: func(c consumerConfig) string { return strings.Join(filtersOf(c), ", ") },
			ok:  func(c consumerConfig) bool { return delivers(c, subject) || delivers(c, stored...) },
			set: func(c *consumerConfig) { c.FilterSubject, c.FilterSubjects = subject, nil },
		},
		{
			fields: fields, want: "filter must match what the stream stores", fixer: byOperator,
			got: func(c consumerConfig) string {
				return fmt.Sprintf("stored as %s, filtered by %s", strings.Join(stored, ", "), strings.Join(filtersOf(c), ", "))
			},
			ok: func(c consumerConfig) bool { return len(stored) == 0 || delivers(c, stored...) },
		},
		{
			fields: []string{"DeliverSubject", "DeliverGroup", "FlowControl", "IdleHeartbeat"}, want: "must be a pull consumer",
			got:     func(c consumerConfig) string { return "one that pushes to " + c.DeliverSubject },
			ok:      func(c consumerConfig) bool { return c.DeliverSubject == "" },
			isOwner: true, fixer: byRecreating,
		},
	}
}

// delivers reports whether the consumer's filters overlap with one of the patterns. A consumer without a
// filter delivers everything.
func delivers(c consumerConfig, patterns ...string) bool {
	filters := filtersOf(c)
	return len(filters) == 0 || slices.ContainsFunc(filters, func(f string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return overlaps(f, p) })
	})
}

// filtersOf returns the filters of a consumer, which may have one, a list of them, or none.
func filtersOf(c consumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// leaseRules say for how long a request is leased to a worker, how often it is delivered, and how many are in progress.
// Drains and crashes count as deliveries, so their number must not be limited. The value of MaxAckPending is the
// consumer's: workers lower it to what the plan runs at once, and those with a lower MAX_IN_FLIGHT_TOTAL report it.
func leaseRules(cfg Config) []consumerRule {
	most := cmp.Or(cfg.MaxAckPending, jet.DefaultAckPending)
	inRange := func(c consumerConfig) bool { return c.MaxAckPending >= 1 && c.MaxAckPending <= jet.MaxAckPending }
	return []consumerRule{
		exactly[consumerConfig]("AckPolicy", jetstream.AckExplicitPolicy, "ack policy must be explicit").fixable(byRecreating),
		exactly[consumerConfig]("AckWait", cfg.AckWait, fmt.Sprintf("ack wait must be %v, as set by ACK_WAIT", cfg.AckWait)),
		{
			fields: []string{"BackOff"}, want: "backoff must be empty: it overrides ACK_WAIT",
			got: func(c consumerConfig) string { return printed(c.BackOff) },
			ok:  func(c consumerConfig) bool { return len(c.BackOff) == 0 },
			set: func(c *consumerConfig) { c.BackOff = nil },
		},
		exactly[consumerConfig]("MaxDeliver", -1, "max deliver must be -1, or a request is lost after its last delivery"),
		exactly[consumerConfig]("MaxAckPending", most, fmt.Sprintf("max ack pending must be 1 to %d", jet.MaxAckPending)).okIf(inRange),
		exactly[consumerConfig]("MaxAckPending", most, fmt.Sprintf("max ack pending is above MAX_IN_FLIGHT_TOTAL, %d: the consumer's value applies", most)).
			withSeverity(warning).okIf(func(c consumerConfig) bool {
			return !inRange(c) || cfg.MaxAckPending == 0 || c.MaxAckPending <= most
		}),
	}
}

// deliveryRules say what is delivered, and when: all requests, with their bodies, to whichever worker pulls first.
func deliveryRules() []consumerRule {
	deliverAll := exactly[consumerConfig]("DeliverPolicy", jetstream.DeliverAllPolicy, "deliver policy must be all, or requests are skipped").fixable(byRecreating)
	deliverAll.fields = []string{"DeliverPolicy", "OptStartSeq", "OptStartTime"}
	return []consumerRule{
		deliverAll,
		{
			fields: []string{"Durable"}, want: "must be durable", fixer: byRecreating,
			ok: func(c consumerConfig) bool { return c.Durable != "" },
		},
		exactly[consumerConfig]("HeadersOnly", false, "headers only must be off, or requests arrive without their body"),
		exactly[consumerConfig]("RateLimit", 0, "rate limit should be 0, which is unlimited").withSeverity(warning),
		{
			fields: []string{"PauseUntil"}, want: "should not be paused: no requests are delivered", fixer: byOperator, severity: warning,
			got: func(c consumerConfig) string { return "paused until " + c.PauseUntil.UTC().Format(time.RFC3339) },
			ok:  func(c consumerConfig) bool { return c.PauseUntil == nil || time.Until(*c.PauseUntil) <= 0 },
		},
		{
			fields: []string{"PriorityPolicy", "PriorityGroups", "PinnedTTL"}, want: "must have no priority groups, or it refuses pulls that name none",
			got: func(c consumerConfig) string { return printed(c.PriorityGroups) },
			ok: func(c consumerConfig) bool {
				return c.PriorityPolicy == jetstream.PriorityPolicyNone && len(c.PriorityGroups) == 0
			},
			set: func(c *consumerConfig) {
				c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
			},
		},
	}
}

// pullRules say what a pull may ask for, and how many may wait. NATS refuses a pull that asks for more, and
// a worker whose pulls are refused takes no requests.
func pullRules() []consumerRule {
	return []consumerRule{
		atLeast[consumerConfig]("MaxRequestBatch", jet.PullBatch, fmt.Sprintf("max batch must be unlimited or at least %d: workers pull that many", jet.PullBatch)),
		atLeast[consumerConfig]("MaxRequestExpires", jet.PullWait, fmt.Sprintf("max expires must be unlimited or at least %v: pulls wait that long", jet.PullWait)),
		exactly[consumerConfig]("MaxWaiting", maxWaiting, fmt.Sprintf("max waiting must be at least %d, or some workers' pulls are refused", minWaiting)).
			fixable(byRecreating).okIf(func(c consumerConfig) bool { return c.MaxWaiting >= minWaiting }),
	}
}
