package streams

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxWaiting is how many pulls of all workers may wait at the consumer that a worker creates; fewWaiting is
	// NATS' default, and so what an operator may have left as it was.
	maxWaiting = 4096
	fewWaiting = 512

	// pullBatch and pullWait are the most that one pull of a worker asks for.
	pullBatch = 64
	pullWait  = time.Second

	// mostPending is how many messages a consumer can have out without redelivering a dead worker's too late.
	mostPending = 100_000

	consumerPurpose = "worker"
)

type (
	consumerConfig = jetstream.ConsumerConfig
	consumerRule   = rule[consumerConfig]
)

// consumerRules are those of the durable pull consumer that all workers share, on a stream that stores requests
// under these patterns.
func consumerRules(cfg Config, stored []string) []consumerRule {
	return slices.Concat(filterRules(cfg.Requests.Subject, stored), leaseRules(cfg), deliveryRules(), pullRules())
}

// filterRules say which messages the consumer passes on.
func filterRules(subject string, stored []string) []consumerRule {
	passes := func(patterns ...string) func(consumerConfig) bool {
		return func(c consumerConfig) bool {
			filters := filtersOf(c)
			return len(filters) == 0 || slices.ContainsFunc(filters, func(f string) bool {
				return slices.ContainsFunc(patterns, func(p string) bool { return overlap(f, p) })
			})
		}
	}
	return []consumerRule{
		{
			fields: []string{"FilterSubject", "FilterSubjects"}, want: "filter must hold " + subject, isOwner: true,
			got: func(c consumerConfig) string { return strings.Join(filtersOf(c), ", ") },
			ok:  passes(append([]string{subject}, stored...)...),
			set: func(c *consumerConfig) { c.FilterSubject, c.FilterSubjects = subject, nil },
		},
		{
			fields: []string{"FilterSubject", "FilterSubjects"}, want: "filter must match what the stream stores", mender: operator,
			got: func(c consumerConfig) string {
				return fmt.Sprintf("stored as %s, the consumer filters %s", strings.Join(stored, ", "), strings.Join(filtersOf(c), ", "))
			},
			ok: func(c consumerConfig) bool { return len(stored) == 0 || passes(stored...)(c) },
		},
		{
			fields: []string{"DeliverSubject", "DeliverGroup", "FlowControl", "IdleHeartbeat"}, want: "it must be a pull consumer",
			got:     func(c consumerConfig) string { return "it pushes to " + c.DeliverSubject },
			ok:      func(c consumerConfig) bool { return c.DeliverSubject == "" },
			isOwner: true, mender: recreate,
		},
	}
}

func filtersOf(c consumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// leaseRules say for how long, how often and how many times a request is held.
func leaseRules(cfg Config) []consumerRule {
	pending := printed(func(c consumerConfig) int { return c.MaxAckPending })
	inRange := func(c consumerConfig) bool { return c.MaxAckPending >= 1 && c.MaxAckPending <= mostPending }
	setPending := func(c *consumerConfig) { c.MaxAckPending = cfg.MaxAckPending }
	return []consumerRule{
		{
			fields: []string{"AckPolicy"}, want: "ack policy must be explicit", mender: recreate,
			got: printed(func(c consumerConfig) string { return strings.ToLower(c.AckPolicy.String()) }),
			ok:  func(c consumerConfig) bool { return c.AckPolicy == jetstream.AckExplicitPolicy },
			set: func(c *consumerConfig) { c.AckPolicy = jetstream.AckExplicitPolicy },
		},
		{
			fields: []string{"AckWait"}, want: fmt.Sprintf("ack wait must be %v, as ACK_WAIT says", cfg.AckWait),
			got: printed(func(c consumerConfig) time.Duration { return c.AckWait }),
			ok:  func(c consumerConfig) bool { return c.AckWait == cfg.AckWait },
			set: func(c *consumerConfig) { c.AckWait = cfg.AckWait },
		},
		{
			fields: []string{"BackOff"}, want: "backoff must be empty: it replaces ACK_WAIT",
			got: printed(func(c consumerConfig) []time.Duration { return c.BackOff }),
			ok:  func(c consumerConfig) bool { return len(c.BackOff) == 0 },
			set: func(c *consumerConfig) { c.BackOff = nil },
		},
		{
			fields: []string{"MaxDeliver"}, want: "max deliver must be -1: a request that is delivered no more is lost",
			got: printed(func(c consumerConfig) int { return c.MaxDeliver }),
			ok:  func(c consumerConfig) bool { return c.MaxDeliver == -1 },
			set: func(c *consumerConfig) { c.MaxDeliver = -1 },
		},
		{
			fields: []string{"MaxAckPending"}, want: fmt.Sprintf("max ack pending must be 1 to %d", mostPending), got: pending,
			ok: inRange, set: setPending,
		},
		{
			fields: []string{"MaxAckPending"}, want: fmt.Sprintf("max ack pending is not MAX_IN_FLIGHT_TOTAL, %d: the consumer's number counts", cfg.MaxAckPending),
			got: pending, set: setPending, level: warning,
			ok: func(c consumerConfig) bool { return !inRange(c) || c.MaxAckPending == cfg.MaxAckPending },
		},
	}
}

// deliveryRules say what is delivered, and when.
func deliveryRules() []consumerRule {
	return []consumerRule{
		{
			fields: []string{"Durable"}, want: "it must be durable", mender: recreate,
			ok: func(c consumerConfig) bool { return c.Durable != "" },
		},
		{
			fields: []string{"DeliverPolicy", "OptStartSeq", "OptStartTime"}, want: "deliver policy must be all, or requests are passed over", mender: recreate,
			got: printed(func(c consumerConfig) string { return strings.ToLower(c.DeliverPolicy.String()) }),
			ok:  func(c consumerConfig) bool { return c.DeliverPolicy == jetstream.DeliverAllPolicy },
		},
		{
			fields: []string{"HeadersOnly"}, want: "headers only must be off, or requests come without their body",
			got: printed(func(c consumerConfig) string { return onOff(c.HeadersOnly) }),
			ok:  func(c consumerConfig) bool { return !c.HeadersOnly },
			set: func(c *consumerConfig) { c.HeadersOnly = false },
		},
		{
			fields: []string{"RateLimit"}, want: "rate limit should be off",
			got: printed(func(c consumerConfig) string { return fmt.Sprintf("%d bits a second", c.RateLimit) }),
			ok:  func(c consumerConfig) bool { return c.RateLimit == 0 },
			set: func(c *consumerConfig) { c.RateLimit = 0 }, level: warning,
		},
		{
			fields: []string{"PauseUntil"}, want: "it is paused, and nothing is delivered", mender: operator, level: warning,
			got: func(c consumerConfig) string { return "until " + c.PauseUntil.UTC().Format(time.RFC3339) },
			ok:  func(c consumerConfig) bool { return c.PauseUntil == nil || time.Until(*c.PauseUntil) <= 0 },
		},
		{
			fields: []string{"PriorityPolicy", "PriorityGroups", "PinnedTTL"}, want: "it must have no priority groups, or it refuses pulls that name none",
			got: printed(func(c consumerConfig) []string { return c.PriorityGroups }),
			ok: func(c consumerConfig) bool {
				return c.PriorityPolicy == jetstream.PriorityPolicyNone && len(c.PriorityGroups) == 0
			},
			set: func(c *consumerConfig) {
				c.PriorityPolicy, c.PriorityGroups, c.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
			},
		},
	}
}

// pullRules say what a pull may ask for.
func pullRules() []consumerRule {
	return []consumerRule{
		{
			fields: []string{"MaxRequestBatch"}, want: fmt.Sprintf("max batch must be unlimited, or %d at least: workers pull that many", pullBatch),
			got: printed(func(c consumerConfig) int { return c.MaxRequestBatch }),
			ok:  func(c consumerConfig) bool { return c.MaxRequestBatch <= 0 || c.MaxRequestBatch >= pullBatch },
			set: func(c *consumerConfig) { c.MaxRequestBatch = 0 },
		},
		{
			fields: []string{"MaxRequestExpires"}, want: fmt.Sprintf("max expires must be unlimited, or %v at least: pulls wait that long", pullWait),
			got: printed(func(c consumerConfig) time.Duration { return c.MaxRequestExpires }),
			ok:  func(c consumerConfig) bool { return c.MaxRequestExpires <= 0 || c.MaxRequestExpires >= pullWait },
			set: func(c *consumerConfig) { c.MaxRequestExpires = 0 },
		},
		{
			fields: []string{"MaxWaiting"}, want: fmt.Sprintf("max waiting must be %d at least, or the pulls of some workers are refused", fewWaiting), mender: recreate,
			got: printed(func(c consumerConfig) int { return c.MaxWaiting }),
			ok:  func(c consumerConfig) bool { return c.MaxWaiting >= fewWaiting },
			set: func(c *consumerConfig) { c.MaxWaiting = maxWaiting },
		},
	}
}
