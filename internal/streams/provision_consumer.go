package streams

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// consumer returns the durable pull consumer that all workers share, or nil. On a stream that is no worker's, or is
// not there, it makes and mends nothing.
func (p *provisioner) consumer(ctx context.Context, requests jetstream.Stream) jetstream.Consumer {
	var stored []string
	if requests != nil {
		stored = storedAs(requests.CachedInfo().Config, p.cfg.Requests.Subject)
	}
	rules := consumerRules(p.cfg, stored)
	f := Finding{What: "consumer " + p.cfg.Consumer, Name: p.cfg.Consumer}
	defer func() {
		if len(f.Problems) > 0 || f.Consumer != nil {
			p.findings = append(p.findings, f)
		}
	}()
	var c jetstream.Consumer
	err := p.ask(ctx, func(ctx context.Context) (err error) {
		c, err = p.js.Consumer(ctx, p.cfg.Requests.Name, p.cfg.Consumer)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && p.create && p.dry:
		f.missing(true)
		return nil
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return nil // the stream's finding tells
	case errors.Is(err, jetstream.ErrConsumerNotFound) && requests == nil:
		return nil
	case errors.Is(err, jetstream.ErrConsumerNotFound) && p.create && !p.dry:
		return p.createConsumer(ctx, rules, &f)
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		f.missing(p.create)
		return nil
	case err != nil:
		f.failed("", err)
		return nil
	}
	f.Consumer = c.CachedInfo()
	if why := foreign(rules, f.Consumer.Config, f.Consumer.Config.Metadata, consumerPurpose); why != "" {
		f.wrong("belongs to another application and is left as it is: %s. Choose another name with CONSUMER", why)
		return nil
	}
	if p.mend && !p.dry && requests != nil {
		c = p.updateConsumer(ctx, rules, c, &f)
	}
	p.judgeConsumer(rules, &f)
	return c
}

func (p *provisioner) judgeConsumer(rules []consumerRule, f *Finding) {
	for _, r := range broken(rules, f.Consumer.Config) {
		f.breaks(r.says(f.Consumer.Config), r.level, p.create && r.mender == worker)
	}
}

// createConsumer creates none that would break a rule at once, as on a stream that renames requests.
func (p *provisioner) createConsumer(ctx context.Context, rules []consumerRule, f *Finding) jetstream.Consumer {
	cfg := jetstream.ConsumerConfig{Durable: p.cfg.Consumer, Metadata: map[string]string{mark: consumerPurpose}}
	for _, r := range rules {
		if r.set != nil {
			r.set(&cfg)
		}
	}
	if wrong := broken(rules, cfg); len(wrong) > 0 {
		for _, r := range wrong {
			f.breaks(r.says(cfg), r.level, false)
		}
		return nil
	}
	c, err := p.js.CreateConsumer(ctx, p.cfg.Requests.Name, cfg)
	if err != nil {
		f.failed("create: ", err)
		return nil
	}
	f.Consumer = c.CachedInfo()
	return c
}

// updateConsumer mends a consumer of Capstan's that breaks rules, and marks it. It returns c where that fails.
func (p *provisioner) updateConsumer(ctx context.Context, rules []consumerRule, c jetstream.Consumer, f *Finding) jetstream.Consumer {
	cfg := f.Consumer.Config
	mended := mend(rules, &cfg)
	if !mended && (cfg.Metadata[mark] != "" || p.unmarkable) {
		return c
	}
	cfg.Metadata = marked(cfg.Metadata, consumerPurpose)
	ctx, cancel := updateTime(ctx, mended)
	defer cancel()
	updated, err := p.js.UpdateConsumer(ctx, p.cfg.Requests.Name, cfg)
	switch {
	case err != nil && !mended:
		return c
	case err != nil:
		f.failed("update: ", err)
		return c
	}
	f.Consumer = updated.CachedInfo()
	return updated
}

// chosen returns the keys that are true, in order.
func chosen(set map[string]bool) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if set[key] {
			keys = append(keys, key)
		}
	}
	return keys
}
