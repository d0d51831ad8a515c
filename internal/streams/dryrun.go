package streams

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/servertime"
)

// DryRun reports what a worker would do when it starts, and changes nothing.
type DryRun struct {
	Conn *nats.Conn

	// Clock learns the server's time from every answer about a stream.
	Clock *servertime.Clock

	// Ask makes one call. It may bound the call and explain its error.
	Ask func(ctx context.Context, call func(context.Context) error) error
}

// Run checks everything, whatever is wrong with one part. It reports what a worker would create and repair, and where
// NATS would refuse that: because of subjects that overlap, replicas without a cluster, or limits of the account. The
// error means that the settings do not allow any call.
func (d DryRun) Run(ctx context.Context, cfg Config) ([]*Report, error) {
	js, err := cfg.NATS.JetStream(d.Conn)
	if err != nil {
		return nil, err
	}
	p := provisioner{
		js: js, cfg: cfg, clock: d.Clock, ask: d.Ask, dryRun: true, create: cfg.NATS.Provision, repair: cfg.NATS.Provision,
	}
	_ = p.run(ctx)
	streams := p.reports
	p.checkAccount(ctx)
	p.checkReplicas(streams, d.Conn)
	return p.reports, nil
}

// addOverlap reports the streams whose subjects overlap with those that a worker would add to the role's
// stream. NATS refuses to store a message in two streams. A stream whose subjects stay as they are is not
// asked about.
func (p *provisioner) addOverlap(ctx context.Context, role role, report *Report) {
	cfg := streamConfig{} // of a stream that is missing
	if report.Stream != nil {
		cfg = report.Stream.Config
	}
	had := len(cfg.Subjects)
	comply(role.rules, &cfg, report.Missing)
	if others := p.overlapping(ctx, role.name, cfg.Subjects[had:]); others != "" {
		report.add(fatal, "NATS will refuse its subjects: they overlap with those of stream %s", others)
	}
}

// checkReplicas reports, once for all streams, that the data depends on one disk, or that NATS has too few servers for
// the replicas that a worker would ask for. The worst comes first, and only one of them is reported.
func (p *provisioner) checkReplicas(reports []*Report, nc *nats.Conn) {
	var existing int
	var single []string
	isRaised := false
	for _, r := range reports {
		replicas := 0
		if r.Stream != nil {
			replicas = r.Stream.Config.Replicas
			existing++
		}
		if replicas == 1 {
			single = append(single, r.Stream.Config.Name)
		}
		isRaised = isRaised || strings.HasPrefix(r.RepairCall, "STREAM.") && replicas < p.cfg.NATS.Replicas
	}
	report := &Report{Resource: "replicas"}
	hasJetStream, _ := nc.ConnectedServerJetStream() // false at a leaf node, whose hub may be a cluster
	want, cluster, servers := p.cfg.NATS.Replicas, nc.ConnectedClusterName(), len(nc.Servers())
	switch {
	case isRaised && want > 1 && cluster == "" && hasJetStream:
		report.add(fatal, "NATS_REPLICAS must be 1, because the server is not in a cluster (got %d)", want)
	case isRaised && want > servers && cluster != "":
		report.add(warning, "NATS_REPLICAS is %d, and %d servers of the cluster are known: NATS refuses more replicas than it has servers", want, servers)
	case len(single) > 0:
		report.add(warning, "one replica: if its disk dies, the data is lost (%s). Use NATS_REPLICAS=3 on a three-node cluster", strings.Join(single, ", "))
	case existing > 0:
		report.Summary = "every stream has two or more"
	default:
		return
	}
	p.reports = append(p.reports, report)
}

// checkAccount reports limits of the account that leave no room for what is missing, or for what is published. NATS
// enforces them when a worker creates a stream, which is too late for a user who wants to know beforehand.
func (p *provisioner) checkAccount(ctx context.Context) {
	missing, consumerIsMissing := 0, false
	var requests jetstream.StreamInfo
	for _, r := range p.reports {
		switch {
		case r.Stream != nil && r.Stream.Config.Name == p.cfg.Requests.Name:
			requests = *r.Stream
		case strings.HasPrefix(r.RepairCall, "STREAM.CREATE."):
			missing++
		case r.Missing && strings.HasPrefix(r.RepairCall, "CONSUMER.CREATE."):
			consumerIsMissing = true
		}
	}
	var info *jetstream.AccountInfo
	err := p.ask(ctx, func(ctx context.Context) (err error) {
		info, err = p.js.AccountInfo(ctx)
		return err
	})
	if err != nil && missing == 0 { // a login that creates nothing needs no permission to ask
		return
	}
	report := p.newReport("account")
	if err != nil {
		report.add(warning, "its limits are unknown: %v", err)
		return
	}
	report.Summary = fmt.Sprintf("%d streams, %d bytes stored", info.Streams, info.Store)
	used := TierOf(info, p.cfg.NATS.Replicas)
	addStreamLimits(report, used, missing)
	if consumerIsMissing {
		p.addConsumerLimits(report, used.Limits, &requests)
	}
}

// TierOf returns the limits of an account for streams with so many replicas, and what it uses of them. An account has
// either one set of limits or, in NATS' operator mode, one for each number of replicas.
func TierOf(info *jetstream.AccountInfo, replicas int) jetstream.Tier {
	if tier, ok := info.Tiers[fmt.Sprintf("R%d", replicas)]; ok {
		return tier
	}
	return info.Tier
}

// addStreamLimits reports limits that prevent the creation of the missing streams, or the storing of
// anything. Limits of 0 or less are none.
func addStreamLimits(report *Report, used jetstream.Tier, missing int) {
	limits := used.Limits
	if limits.MaxStreams > 0 && used.Streams+missing > limits.MaxStreams {
		report.add(fatal, "max streams is %d, of which %d exist: NATS will refuse some of the %d missing streams", limits.MaxStreams, used.Streams, missing)
	}
	if limits.MaxStore > 0 && used.Store+minRoom > uint64(limits.MaxStore) {
		report.add(fatal, "max storage is %d bytes, of which %d are used: NATS refuses new messages", limits.MaxStore, used.Store)
	}
	if missing > 0 && limits.MaxBytesRequired {
		report.add(fatal, "max bytes is required for each stream, and a worker sets none: create the streams yourself")
	}
}

// addConsumerLimits reports limits for which NATS would refuse the workers' consumer. Limits of the stream take
// precedence over those of the account.
func (p *provisioner) addConsumerLimits(report *Report, limits jetstream.AccountLimits, requests *jetstream.StreamInfo) {
	most := requests.Config.MaxConsumers
	if most <= 0 {
		most = limits.MaxConsumers
	}
	if most > 0 && requests.State.Consumers >= most {
		report.add(fatal, "max consumers is %d, and stream %s has %d: NATS will refuse the workers' consumer", most, p.cfg.Requests.Name, requests.State.Consumers)
	}
	for _, pending := range []int{limits.MaxAckPending, requests.Config.ConsumerLimits.MaxAckPending} {
		if wanted := cmp.Or(p.cfg.MaxAckPending, jet.DefaultAckPending); pending > 0 && pending < wanted {
			report.add(fatal, "max ack pending is at most %d: NATS will refuse the workers' consumer. Set MAX_IN_FLIGHT_TOTAL to no more than that", pending)
		}
	}
}
