package streams

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/servertime"
)

// Resources are the streams, the consumer and the object store that a worker uses.
type Resources struct {
	JS       jetstream.JetStream
	Requests jetstream.Stream
	Consumer jetstream.Consumer
	Results  jetstream.Stream
	Tracker  jetstream.Stream
	Large    jetstream.ObjectStore
}

// provisioner walks over all resources and their rules, and reports what is missing or violates a rule. A worker that
// starts also creates and repairs, one that runs only creates, and a dry run changes nothing.
type provisioner struct {
	js     jetstream.JetStream
	cfg    Config
	clock  *servertime.Clock
	create bool // what is missing
	repair bool // what violates a rule and is Capstan's
	dryRun bool // reports what create and repair would do

	// ask makes one call. A dry run bounds it and explains its error.
	ask func(context.Context, func(context.Context) error) error

	cannotMark bool // the login may not update streams: another try would take markTimeout
	reports    []*Report
}

// resource is a stream or the consumer: C is its configuration, and H is how jetstream represents it.
type resource[H, C any] struct {
	purpose string // the value of the mark
	rules   []rule[C]
	rename  string // how to use another name, for a user whose name is taken

	find     func(context.Context) (H, error)
	create   func(context.Context, C) (H, error)
	update   func(context.Context, C) (H, error)
	configOf func(H) C
	metadata func(*C) *map[string]string // of a configuration
	initial  C

	createCall, updateCall string // see Report.RepairCall

	isReadOnly bool // neither created nor repaired
}

// reconcile finds, creates or repairs one resource, and reports what remains wrong. usable is false if the resource is
// missing, belongs to another application, or is unknown because a call failed.
func reconcile[H, C any](ctx context.Context, p *provisioner, r resource[H, C], report *Report) (found H, usable bool) {
	var h H
	err := p.ask(ctx, func(ctx context.Context) (err error) {
		h, err = r.find(ctx)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrConsumerNotFound):
		return createMissing(ctx, p, r, report)
	case err != nil:
		report.addError("", err)
		return found, false
	}
	cfg := r.configOf(h)
	if reason := foreign(r.rules, cfg, *r.metadata(&cfg), r.purpose); reason != "" {
		report.add(fatal, "belongs to another application and is left unchanged: %s. %s", reason, r.rename)
		return h, false
	}
	if p.repair && !p.dryRun && !r.isReadOnly {
		h = repaired(ctx, p, r, h, report)
	}
	if addViolations(report, r.rules, r.configOf(h), p.create) {
		report.RepairCall = r.updateCall
	}
	return h, true
}

// createMissing creates a resource, unless it would violate a rule at once: a stream that renames requests needs a
// consumer with another filter.
func createMissing[H, C any](ctx context.Context, p *provisioner, r resource[H, C], report *Report) (h H, usable bool) {
	if !p.create || p.dryRun || r.isReadOnly {
		report.addMissing(p.create)
		if p.create {
			report.RepairCall = r.createCall
		}
		return h, false
	}
	cfg := r.initial
	comply(r.rules, &cfg, true)
	*r.metadata(&cfg) = map[string]string{mark: r.purpose}
	for _, violation := range violated(r.rules, cfg) {
		if violation.severity == fatal {
			addViolations(report, r.rules, cfg, false)
			return h, false
		}
	}
	h, err := r.create(ctx, cfg)
	if err != nil {
		report.addError("create: ", err)
		return h, false
	}
	addViolations(report, r.rules, r.configOf(h), false)
	return h, true
}

// markTimeout bounds an update that only marks a resource. A worker can do without the mark, and a login that may not
// update gets no answer.
const markTimeout = time.Second

// repaired makes a resource comply with the rules, and marks it. It returns h if that fails or is not needed.
func repaired[H, C any](ctx context.Context, p *provisioner, r resource[H, C], h H, report *Report) H {
	cfg := r.configOf(h)
	metadata := r.metadata(&cfg)
	changed := comply(r.rules, &cfg, false)
	if !changed && ((*metadata)[mark] != "" || p.cannotMark) {
		return h
	}
	*metadata = maps.Clone(*metadata)
	if *metadata == nil {
		*metadata = map[string]string{}
	}
	(*metadata)[mark] = r.purpose
	if !changed {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, markTimeout)
		defer cancel()
	}
	updated, err := r.update(ctx, cfg)
	switch {
	case err == nil:
		return updated
	case changed:
		report.addError("update: ", err)
	default:
		p.cannotMark = true
	}
	return h
}

// run returns the resources. One that has a problem other than a warning may be nil.
func (p *provisioner) run(ctx context.Context) *Resources {
	r := &Resources{JS: p.js}
	streams := map[string]jetstream.Stream{}
	for _, role := range p.cfg.roles() {
		streams[role.purpose] = p.stream(ctx, role)
	}
	r.Requests, r.Results, r.Tracker = streams["requests"], streams["results"], streams["records"]
	if large := streams["large-results"]; large != nil {
		r.Large = p.objectStore(ctx, r.Results, large)
	}
	r.Consumer = p.consumer(ctx, r.Requests)
	return r
}

func (p *provisioner) newReport(resource string) *Report {
	r := &Report{Resource: resource}
	p.reports = append(p.reports, r)
	return r
}

// stream returns a stream that can be used, or nil.
func (p *provisioner) stream(ctx context.Context, role role) jetstream.Stream {
	report := p.newReport(role.title)
	s, usable := reconcile(ctx, p, p.streamResource(role), report)
	if s != nil {
		report.Stream = s.CachedInfo()
		report.Summary = fmt.Sprintf("%d messages", report.Stream.State.Msgs)
	}
	if p.dryRun && p.create && (usable || report.Missing) {
		p.addOverlap(ctx, role, report)
	}
	if !usable {
		return nil
	}
	if text := describeFull(report.Stream); text != "" {
		report.add(role.fullIs, "%s", text)
	}
	return s
}

// objectStore returns the object store of large results, or nil.
func (p *provisioner) objectStore(ctx context.Context, results, large jetstream.Stream) jetstream.ObjectStore {
	report := p.reports[len(p.reports)-1] // on the stream behind it, which is the last
	if results != nil {
		events, objects := results.CachedInfo().Config.MaxAge, large.CachedInfo().Config.MaxAge
		if objects != 0 && (events == 0 || objects < events) {
			report.add(warning, "max age should be that of %s, or events refer to results that have expired (got %v)", p.cfg.Results.Name, objects)
		}
	}
	store, err := p.js.ObjectStore(ctx, p.cfg.Large)
	if err != nil {
		report.addError("", err)
		return nil
	}
	return store
}

// consumer returns the durable pull consumer that all workers share, or nil. If the request stream cannot be used, the
// consumer is neither created nor repaired, and only a dry run reports that it is missing.
func (p *provisioner) consumer(ctx context.Context, requests jetstream.Stream) jetstream.Consumer {
	report := &Report{Resource: "consumer " + p.cfg.Consumer}
	c, usable := reconcile(ctx, p, p.consumerResource(requests), report)
	willBeCreated := p.create && p.reports[0].Missing // with its stream, whose report is the first
	if report.Missing && requests == nil && !willBeCreated {
		return nil
	}
	p.reports = append(p.reports, report)
	if !usable {
		return nil
	}
	info := c.CachedInfo()
	report.Summary = fmt.Sprintf("%d waiting, %d in progress", info.NumPending, info.NumAckPending)
	return c
}
