package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// resources are the streams, the consumer and the object store a worker works with.
type resources struct {
	js       jetstream.JetStream
	requests jetstream.Stream
	consumer jetstream.Consumer
	results  jetstream.Stream
	tracker  jetstream.Stream
	large    jetstream.ObjectStore
}

// maxWaiting is how many pulls of all workers may wait at the consumer.
const maxWaiting = 4096

// provision returns the resources. With NATS_PROVISION it creates what is missing and, where
// mend is set, mends what differs; without, it only looks. The error names everything that is missing or wrongly configured.
func provision(ctx context.Context, nc *nats.Conn, cfg Config, mend bool) (*resources, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	if err := checkServer(nc); err != nil {
		return nil, err
	}
	p := provisioner{js: js, create: cfg.NATS.Provision, mend: cfg.NATS.Provision && mend, replicas: cfg.NATS.Replicas}
	r := &resources{js: js}
	r.requests = p.stream(ctx, cfg.Request.Stream, requestRules(cfg))
	r.results = p.stream(ctx, cfg.Result.Stream, resultRules(cfg))
	p.stream(ctx, cfg.Dead.Stream, deadRules(cfg))
	r.tracker = p.stream(ctx, cfg.Tracker.Stream(), trackerRules(cfg))
	r.consumer = p.consumer(ctx, cfg)
	r.large = p.objects(ctx, cfg.Result.Bucket)
	if len(p.problems) > 0 {
		return nil, errors.New(strings.Join(p.problems, "; "))
	}
	return r, nil
}

// checkServer refuses a server that lacks what is used: per-message time to live came with 2.11.
func checkServer(nc *nats.Conn) error {
	var major, minor int
	version := nc.ConnectedServerVersion()
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("NATS server has version %q: %w", version, err)
	}
	if major < 2 || (major == 2 && minor < 11) {
		return fmt.Errorf("NATS server has version %s: 2.11 or newer is needed", version)
	}
	return nil
}

// provisioner finds or makes each resource and gathers what is wrong with them.
type provisioner struct {
	js       jetstream.JetStream
	create   bool // what is missing
	mend     bool // what differs
	replicas int
	problems []string
}

func (p *provisioner) complain(format string, args ...any) {
	p.problems = append(p.problems, fmt.Sprintf(format, args...))
}

// stream returns a stream that keeps the rules, or nil and a complaint.
func (p *provisioner) stream(ctx context.Context, name string, rules []rule) jetstream.Stream {
	s, err := p.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) && p.create {
		return p.createStream(ctx, name, rules)
	}
	if err != nil {
		p.complain("stream %s: %v", name, err)
		return nil
	}
	if p.mend {
		if s, err = p.update(ctx, s, rules); err != nil {
			p.complain("stream %s: update: %v", name, err)
			return nil
		}
	}
	for _, r := range rules {
		if !r.ok(s.CachedInfo().Config) {
			p.complain("stream %s: %s", name, r.want)
		}
	}
	return s
}

func (p *provisioner) createStream(ctx context.Context, name string, rules []rule) jetstream.Stream {
	cfg := jetstream.StreamConfig{Name: name, Storage: jetstream.FileStorage, Replicas: p.replicas}
	for _, r := range rules {
		r.fix(&cfg)
	}
	s, err := p.js.CreateStream(ctx, cfg)
	if err != nil {
		p.complain("stream %s: create: %v", name, err)
		return nil
	}
	return s
}

// update mends a stream that breaks rules. Replicas are only ever raised.
func (p *provisioner) update(ctx context.Context, s jetstream.Stream, rules []rule) (jetstream.Stream, error) {
	cfg := s.CachedInfo().Config
	changed := false
	if cfg.Replicas < p.replicas {
		cfg.Replicas, changed = p.replicas, true
	}
	for _, r := range rules {
		if !r.once && !r.ok(cfg) {
			r.fix(&cfg)
			changed = true
		}
	}
	if !changed {
		return s, nil
	}
	return p.js.UpdateStream(ctx, cfg)
}

// wantedConsumer is the consumer as a worker with these settings needs it.
func wantedConsumer(cfg Config) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: cfg.Consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait,
		MaxDeliver: -1, MaxAckPending: cfg.MaxInFlightTotal, MaxWaiting: maxWaiting,
		FilterSubject: cfg.Request.Subject,
	}
}

// consumer returns the durable pull consumer that all workers share, or nil and a complaint.
func (p *provisioner) consumer(ctx context.Context, cfg Config) jetstream.Consumer {
	want := wantedConsumer(cfg)
	c, err := p.js.Consumer(ctx, cfg.Request.Stream, cfg.Consumer)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil // said already
	case errors.Is(err, jetstream.ErrConsumerNotFound) && p.create:
		want.Replicas = 0 // the stream's
		c, err = p.js.CreateConsumer(ctx, cfg.Request.Stream, want)
	case err == nil && p.mend:
		c, err = p.updateConsumer(ctx, cfg.Request.Stream, c, want)
	}
	if err != nil {
		p.complain("consumer %s: %v", cfg.Consumer, err)
		return nil
	}
	for _, problem := range consumerProblems(c.CachedInfo().Config, want) {
		p.complain("consumer %s: %s", cfg.Consumer, problem)
	}
	return c
}

func (p *provisioner) updateConsumer(ctx context.Context, stream string, c jetstream.Consumer, want jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	have := c.CachedInfo().Config
	if len(consumerProblems(have, want)) == 0 {
		return c, nil
	}
	have.AckWait, have.MaxAckPending, have.MaxDeliver, have.BackOff = want.AckWait, want.MaxAckPending, want.MaxDeliver, nil
	have.FilterSubject, have.FilterSubjects = want.FilterSubject, nil
	return p.js.UpdateConsumer(ctx, stream, have)
}

func consumerProblems(have, want jetstream.ConsumerConfig) []string {
	var problems []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	check(have.AckPolicy == jetstream.AckExplicitPolicy, "ack policy must be explicit")
	check(have.AckWait == want.AckWait, "ack wait is %v and ACK_WAIT %v: they must be the same", have.AckWait, want.AckWait)
	check(have.MaxAckPending == want.MaxAckPending, "max ack pending is %d and MAX_IN_FLIGHT_TOTAL %d: they must be the same", have.MaxAckPending, want.MaxAckPending)
	check(have.MaxDeliver == want.MaxDeliver, "max deliver is %d and must be -1", have.MaxDeliver)
	check(len(have.BackOff) == 0, "backoff must be empty")
	check(len(have.FilterSubjects) == 0 && (have.FilterSubject == "" || holds(have.FilterSubject, want.FilterSubject)),
		"filter must hold %s", want.FilterSubject)
	return problems
}

// objects returns the object store of large results, or nil and a complaint.
func (p *provisioner) objects(ctx context.Context, bucket string) jetstream.ObjectStore {
	store, err := p.js.ObjectStore(ctx, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) && p.create {
		store, err = p.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucket, TTL: resultsAge, Replicas: p.replicas})
	}
	if err != nil {
		p.complain("object store %s: %v", bucket, err)
		return nil
	}
	return store
}
