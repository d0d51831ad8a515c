package streams

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/servertime"
)

// Inspection is a dry run of what a worker does when it starts.
type Inspection struct {
	Conn  *nats.Conn
	JS    jetstream.JetStream
	Clock *servertime.Clock

	// Ask makes one call. It may bound the call, and tell what stood in its way.
	Ask func(ctx context.Context, call func(context.Context) error) error
}

// Run looks at everything, whatever is wrong with the rest, and changes nothing. It finds what a worker would create
// and mend, and where NATS would refuse that.
func (i Inspection) Run(ctx context.Context, cfg Config) []Finding {
	p := provisioner{
		js: i.JS, cfg: cfg, clock: i.Clock, ask: i.Ask, dry: true,
		create: cfg.NATS.Provision, mend: cfg.NATS.Provision, nodes: nodes(i.Conn),
	}
	_ = p.run(ctx)
	p.account(ctx)
	return p.findings
}

// nodes is how many servers can hold a replica: one where the server has streams of its own and is no cluster's.
func nodes(nc *nats.Conn) int {
	if here, _ := nc.ConnectedServerJetStream(); here && nc.ConnectedClusterName() == "" {
		return 1
	}
	return 0
}

// obstacles adds to the finding of a dry run why NATS would refuse to create or to mend the stream.
func (p *provisioner) obstacles(ctx context.Context, role role, f *Finding) {
	if !p.dry || !p.create {
		return
	}
	cfg := jetstream.StreamConfig{}
	if f.Stream != nil {
		cfg = f.Stream.Config
	}
	had := len(cfg.Subjects)
	for _, r := range role.rules {
		if r.set != nil && (f.Missing || r.mender == worker && !r.ok(cfg)) {
			r.set(&cfg)
		}
	}
	if others := p.overlapping(ctx, role.name, cfg.Subjects[had:]); len(others) > 0 {
		f.wrong("NATS will refuse its subject: it overlaps with those of stream %s", strings.Join(others, ", "))
	}
	raised := f.Missing || f.Stream.Config.Replicas < cfg.Replicas
	if raised && p.nodes > 0 && cfg.Replicas > p.nodes {
		f.wrong("NATS_REPLICAS is %d, and the server is not in a cluster: NATS will refuse that", cfg.Replicas)
	}
}

// account looks whether the account's limits leave room for what is missing, and for what is published.
func (p *provisioner) account(ctx context.Context) {
	missing, consumerMissing := 0, false
	requests := &jetstream.StreamInfo{}
	for _, f := range p.findings {
		switch isConsumer := strings.HasPrefix(f.What, "consumer "); {
		case f.Missing && isConsumer:
			consumerMissing = true
		case f.Missing:
			missing++
		case f.Stream != nil && f.Stream.Config.Name == p.cfg.Requests.Name:
			requests = f.Stream
		}
	}
	f := p.found("account")
	var info *jetstream.AccountInfo
	err := p.ask(ctx, func(ctx context.Context) (err error) {
		info, err = p.js.AccountInfo(ctx)
		return err
	})
	switch {
	case err != nil && missing == 0: // a login that creates nothing needs no permission to ask
		p.findings = p.findings[:len(p.findings)-1]
		return
	case err != nil:
		f.breaks(fmt.Sprintf("its limits are not known: %v", err), warning, false)
		return
	}
	f.Account = info
	used := info.Tier
	if tier, ok := info.Tiers[fmt.Sprintf("R%d", p.cfg.NATS.Replicas)]; ok {
		used = tier
	}
	for _, says := range tight(used, missing) {
		f.wrong("%s", says)
	}
	if consumerMissing {
		p.roomForConsumer(f, used.Limits, requests)
	}
}

// tight says which limits of an account stand in the way of creating so many streams, and of storing anything.
func tight(used jetstream.Tier, missing int) []string {
	var all []string
	limits := used.Limits
	if limits.MaxStreams > 0 && used.Streams+missing > limits.MaxStreams {
		all = append(all, fmt.Sprintf("max streams is %d, and %d are there: NATS will refuse some of the %d that are missing", limits.MaxStreams, used.Streams, missing))
	}
	if limits.MaxStore > 0 && used.Store+leastRoom > uint64(limits.MaxStore) {
		all = append(all, fmt.Sprintf("max storage is %d bytes, and %d are used: NATS refuses what is published", limits.MaxStore, used.Store))
	}
	if missing > 0 && limits.MaxBytesRequired {
		all = append(all, "max bytes is required of each stream, and a worker sets none: create the streams yourself")
	}
	return all
}

// roomForConsumer looks whether NATS would refuse the consumer of the requests.
func (p *provisioner) roomForConsumer(f *Finding, limits jetstream.AccountLimits, requests *jetstream.StreamInfo) {
	most := requests.Config.MaxConsumers
	if most <= 0 {
		most = limits.MaxConsumers
	}
	if most > 0 && requests.State.Consumers >= most {
		f.wrong("max consumers is %d, and stream %s has %d: NATS will refuse the worker's", most, p.cfg.Requests.Name, requests.State.Consumers)
	}
	for _, pending := range []int{limits.MaxAckPending, requests.Config.ConsumerLimits.MaxAckPending} {
		if pending > 0 && pending < p.cfg.MaxAckPending {
			f.wrong("max ack pending is %d at most: NATS will refuse the worker's consumer, lower MAX_IN_FLIGHT_TOTAL from %d", pending, p.cfg.MaxAckPending)
		}
	}
}
