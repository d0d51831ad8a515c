package streams

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// streamResource is a stream as reconcile sees it.
func (p *provisioner) streamResource(role role) resource[jetstream.Stream, streamConfig] {
	// timed makes a call, from whose answer the clock learns the server's time. Only the leader of the request stream
	// counts, as the clocks of other servers may differ; a dry run takes what it gets.
	timed := func(call func() (jetstream.Stream, error)) (jetstream.Stream, error) {
		asked := time.Now()
		s, err := call()
		if err == nil && (role.isRequests || p.dryRun) {
			p.clock.Observe(s.CachedInfo().TimeStamp, asked, time.Now())
		}
		return s, err
	}
	return resource[jetstream.Stream, streamConfig]{
		purpose: role.purpose,
		rules:   role.rules,
		rename:  fmt.Sprintf("Choose another name in the settings, or mark it as Capstan's: nats stream edit %s --metadata %s=%s", role.name, mark, role.purpose),
		find: func(ctx context.Context) (jetstream.Stream, error) {
			return timed(func() (jetstream.Stream, error) { return p.js.Stream(ctx, role.name) })
		},
		create: func(ctx context.Context, cfg streamConfig) (jetstream.Stream, error) {
			s, err := timed(func() (jetstream.Stream, error) { return p.js.CreateStream(ctx, cfg) })
			return s, p.explainOverlap(ctx, err, cfg)
		},
		update: func(ctx context.Context, cfg streamConfig) (jetstream.Stream, error) {
			s, err := p.js.UpdateStream(ctx, cfg)
			return s, p.explainOverlap(ctx, err, cfg)
		},
		configOf:   func(s jetstream.Stream) streamConfig { return s.CachedInfo().Config },
		metadata:   func(c *streamConfig) *map[string]string { return &c.Metadata },
		initial:    streamConfig{Name: role.name},
		createCall: "STREAM.CREATE." + role.name,
		updateCall: "STREAM.UPDATE." + role.name,
	}
}

// consumerResource is the workers' consumer of the stream of requests, which is nil if it cannot be used.
func (p *provisioner) consumerResource(requests jetstream.Stream) resource[jetstream.Consumer, consumerConfig] {
	var stored []string
	if requests != nil {
		stored = storedAs(requests.CachedInfo().Config, p.cfg.Requests.Subject)
	}
	stream, name := p.cfg.Requests.Name, p.cfg.Consumer
	repairCall := "CONSUMER.CREATE." + stream + "." + name + "." + p.cfg.Requests.Subject
	return resource[jetstream.Consumer, consumerConfig]{
		purpose: "worker",
		rules:   consumerRules(p.cfg, stored),
		rename:  "Choose another name with CONSUMER",
		find:    func(ctx context.Context) (jetstream.Consumer, error) { return p.js.Consumer(ctx, stream, name) },
		create: func(ctx context.Context, cfg consumerConfig) (jetstream.Consumer, error) {
			return p.js.CreateConsumer(ctx, stream, cfg)
		},
		update: func(ctx context.Context, cfg consumerConfig) (jetstream.Consumer, error) {
			return p.js.UpdateConsumer(ctx, stream, cfg)
		},
		configOf:   func(c jetstream.Consumer) consumerConfig { return c.CachedInfo().Config },
		metadata:   func(c *consumerConfig) *map[string]string { return &c.Metadata },
		initial:    consumerConfig{Durable: name},
		createCall: repairCall,
		updateCall: repairCall,
		isReadOnly: requests == nil,
	}
}

// explainOverlap adds to NATS' refusal the names of the streams whose subjects overlap, which NATS leaves out.
func (p *provisioner) explainOverlap(ctx context.Context, err error, cfg streamConfig) error {
	const subjectsOverlap = jetstream.ErrorCode(10065)
	refusal, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || refusal.ErrorCode != subjectsOverlap {
		return err
	}
	if others := p.overlapping(ctx, cfg.Name, cfg.Subjects); others != "" {
		return fmt.Errorf("its subjects overlap with those of stream %s: %w", others, err)
	}
	return err
}

// overlapTimeout bounds the search for streams whose subjects overlap.
const overlapTimeout = 2 * time.Second

// overlapping names the other streams that listen on one of the subjects. It returns "" if the login may not ask.
func (p *provisioner) overlapping(ctx context.Context, name string, subjects []string) string {
	ctx, cancel := context.WithTimeout(ctx, overlapTimeout)
	defer cancel()
	others := map[string]bool{}
	for _, subject := range subjects {
		_ = p.ask(ctx, func(ctx context.Context) error { // without an answer the refusal alone must do
			names := p.js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
			for other := range names.Name() {
				others[other] = true
			}
			return names.Err()
		})
	}
	delete(others, name)
	return strings.Join(slices.Sorted(maps.Keys(others)), ", ")
}
