package streams

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Resources are the streams, the consumer and the object store a worker works with.
type Resources struct {
	JS       jetstream.JetStream
	Requests jetstream.Stream
	Consumer jetstream.Consumer
	Results  jetstream.Stream
	Tracker  jetstream.Stream
	Large    jetstream.ObjectStore
}

// maxWaiting is how many pulls of all workers may wait at the consumer.
const maxWaiting = 4096

// provision returns the resources. With NATS_PROVISION it creates what is missing and, where
// mend is set, mends what differs; without, it only looks. The error names everything that is missing or wrongly configured.
func provision(ctx context.Context, nc *nats.Conn, cfg Config, mend bool) (*Resources, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	if err := CheckServer(nc); err != nil {
		return nil, err
	}
	p := provisioner{js: js, create: cfg.NATS.Provision, mend: cfg.NATS.Provision && mend, replicas: cfg.NATS.Replicas}
	r := &Resources{JS: js}
	r.Requests = p.stream(ctx, cfg.Requests.Name, RequestRules(cfg))
	r.Results = p.stream(ctx, cfg.Results.Name, ResultRules(cfg))
	p.stream(ctx, cfg.Dead.Name, DeadRules(cfg))
	r.Tracker = p.stream(ctx, cfg.TrackerStream(), TrackerRules(cfg))
	r.Consumer = p.consumer(ctx, cfg)
	r.Large = p.objects(ctx, cfg.Large)
	if len(p.problems) > 0 {
		return nil, errors.New(strings.Join(p.problems, "; "))
	}
	return r, nil
}

// CheckServer refuses a server that lacks what is used: per-message time to live came with 2.11.
func CheckServer(nc *nats.Conn) error {
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
func (p *provisioner) stream(ctx context.Context, name string, rules []Rule) jetstream.Stream {
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
		if !r.OK(s.CachedInfo().Config) {
			p.complain("stream %s: %s", name, r.Want)
		}
	}
	return s
}

func (p *provisioner) createStream(ctx context.Context, name string, rules []Rule) jetstream.Stream {
	cfg := jetstream.StreamConfig{Name: name, Storage: jetstream.FileStorage, Replicas: p.replicas}
	for _, r := range rules {
		r.Fix(&cfg)
	}
	s, err := p.js.CreateStream(ctx, cfg)
	if err != nil {
		p.complain("stream %s: create: %v", name, err)
		return nil
	}
	return s
}

// update mends a stream that breaks rules. Replicas are only ever raised.
func (p *provisioner) update(ctx context.Context, s jetstream.Stream, rules []Rule) (jetstream.Stream, error) {
	cfg := s.CachedInfo().Config
	changed := false
	if cfg.Replicas < p.replicas {
		cfg.Replicas, changed = p.replicas, true
	}
	for _, r := range rules {
		if !r.Once && !r.OK(cfg) {
			r.Fix(&cfg)
			changed = true
		}
	}
	if !changed {
		return s, nil
	}
	return p.js.UpdateStream(ctx, cfg)
}

// WantedConsumer is the consumer as a worker with these settings needs it.
func WantedConsumer(cfg Config) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: cfg.Consumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait,
		MaxDeliver: -1, MaxAckPending: cfg.MaxAckPending, MaxWaiting: maxWaiting,
		FilterSubject: cfg.Requests.Subject,
	}
}

// consumer returns the durable pull consumer that all workers share, or nil and a complaint.
func (p *provisioner) consumer(ctx context.Context, cfg Config) jetstream.Consumer {
	want := WantedConsumer(cfg)
	c, err := p.js.Consumer(ctx, cfg.Requests.Name, cfg.Consumer)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil // said already
	case errors.Is(err, jetstream.ErrConsumerNotFound) && p.create:
		want.Replicas = 0 // the stream's
		c, err = p.js.CreateConsumer(ctx, cfg.Requests.Name, want)
	case err == nil && p.mend:
		c, err = p.updateConsumer(ctx, cfg.Requests.Name, c, want)
	}
	if err != nil {
		p.complain("consumer %s: %v", cfg.Consumer, err)
		return nil
	}
	for _, problem := range ConsumerProblems(c.CachedInfo().Config, want) {
		p.complain("consumer %s: %s", cfg.Consumer, problem)
	}
	return c
}

func (p *provisioner) updateConsumer(ctx context.Context, stream string, c jetstream.Consumer, want jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	have := c.CachedInfo().Config
	if len(ConsumerProblems(have, want)) == 0 {
		return c, nil
	}
	have.AckWait, have.MaxAckPending, have.MaxDeliver, have.BackOff = want.AckWait, want.MaxAckPending, want.MaxDeliver, nil
	have.FilterSubject, have.FilterSubjects = want.FilterSubject, nil
	return p.js.UpdateConsumer(ctx, stream, have)
}

// ConsumerProblems says what differs.
func ConsumerProblems(have, want jetstream.ConsumerConfig) []string {
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
