package streams

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/servertime"
)

// Resources are the streams, the consumer and the object store that a worker uses. Their cached information is that of
// the check that found them.
type Resources struct {
	JS       jetstream.JetStream
	Requests jetstream.Stream
	Consumer jetstream.Consumer // of Requests, shared by all workers
	Results  jetstream.Stream
	Tracker  jetstream.Stream // behind the bucket of records
	Large    jetstream.ObjectStore
}

// provisioner walks over all resources and their rules, and reports what is missing or violates a rule. There are three
// kinds of walk, which differ by create, repair and dryRun:
//
//   - A worker that starts creates what is missing and repairs what is Capstan's.
//   - A worker that runs only creates. A stream can get lost at any time, but a violation may be another worker's setting.
//   - A dry run, for capstan check, changes nothing. It checks in addition whether NATS would refuse the changes.
//
// Without NATS_PROVISION a worker changes nothing either.
type provisioner struct {
	js     jetstream.JetStream
	cfg    Config
	clock  *servertime.Clock
	create bool // what is missing
	repair bool // what violates a rule and is Capstan's
	dryRun bool // reports what create and repair would do

	// ask makes one call. A dry run bounds it and explains its error.
	ask func(context.Context, func(context.Context) error) error

	// cannotMark is set if the login may not update streams: another try would take markTimeout.
	cannotMark bool

	// reports has one report for each resource, and those of a dry run about the account and the replicas.
	reports []*Report
}

// run walks over all resources, whatever is wrong with one of them, and returns them. One that has a problem other than
// a warning may be nil.
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

// newReport adds an empty report, in the order in which the resources are checked. The caller fills it in.
func (p *provisioner) newReport(resource string) *Report {
	r := &Report{Resource: resource}
	p.reports = append(p.reports, r)
	return r
}

// stream checks the stream of a role, and returns it if it can be used, else nil. The report has the state
// of the stream even if it belongs to another application.
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

// objectStore returns the object store of large results, or nil. An event refers to its large result by name, so the
// store should keep results for as long as the results stream keeps events.
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
