package streams

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
)

// streamResource returns a role's stream for reconcile. Its calls are bounded by their context.
func (p *provisioner) streamResource(role role) resource[jetstream.Stream, streamConfig] {
	// timed makes a call, and the clock learns the server's time from the answer. A worker trusts only the leader of the
	// request stream, because the clocks of other servers may differ. A dry run takes any answer: it only warns.
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
		rename:  fmt.Sprintf("Choose another name in the settings, or mark it as Capstan's: nats stream edit %s --metadata %s=%s", role.name, jet.Mark, role.purpose),
		find: func(ctx context.Context) (jetstream.Stream, error) {
			return timed(func() (jetstream.Stream, error) { return p.js.Stream(ctx, role.name) })
		},
		create: func(ctx context.Context, cfg streamConfig) (jetstream.Stream, error) {
			s, err := timed(func() (jetstream.Stream, error) { return p.js.CreateStream(ctx, cfg) })
			if err == nil {
				// The answer to this call has no domain, and that to Info has. The stream exists, also if Info fails.
				_, _ = s.Info(ctx)
			}
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

// consumerResource returns the workers' consumer for reconcile. requests is its stream, or nil if that cannot be used.
// Then the consumer is only checked: on another application's stream it is that application's, too.
func (p *provisioner) consumerResource(requests jetstream.Stream) resource[jetstream.Consumer, consumerConfig] {
	var stored []string
	if requests != nil {
		stored = storedAs(requests.CachedInfo().Config, p.cfg.Requests.Subject)
	}
	stream, name := p.cfg.Requests.Name, p.cfg.Consumer
	// Creating and updating a consumer are the same call of the API. With a filter, its subject ends with the filter.
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

// explainOverlap adds to NATS' refusal the names of the streams whose subjects overlap. NATS does not name them. Any
// other error, and nil, is returned unchanged.
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

// overlapping names the other streams that listen on one of the subjects. It returns "" if there are none, and if the
// login may not ask: without an answer, NATS' refusal alone must do.
func (p *provisioner) overlapping(ctx context.Context, name string, subjects []string) string {
	ctx, cancel := context.WithTimeout(ctx, overlapTimeout)
	defer cancel()
	var others []string
	for _, subject := range subjects {
		var found []string
		err := p.ask(ctx, func(ctx context.Context) error {
			names := p.js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
			for other := range names.Name() {
				found = append(found, other)
			}
			return names.Err()
		})
		if err == nil {
			others = append(others, found...)
		}
	}
	slices.Sort(others)
	others = slices.DeleteFunc(slices.Compact(others), func(other string) bool { return other == name })
	return strings.Join(others, ", ")
}
