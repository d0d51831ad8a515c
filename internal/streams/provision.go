package streams

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/servertime"
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

// JetStream returns the interface to JetStream, in the domain of the settings.
func (c NATSConfig) JetStream(nc *nats.Conn) (jetstream.JetStream, error) {
	js, err := jetstream.New(nc)
	if c.JSDomain != "" {
		js, err = jetstream.NewWithDomain(nc, c.JSDomain)
	}
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return js, nil
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

// provisioner looks at each stream, the consumer and the buckets, and makes them what they have to be where it may.
type provisioner struct {
	js     jetstream.JetStream
	cfg    Config
	clock  *servertime.Clock
	create bool // what is missing
	mend   bool // what breaks a rule, and is Capstan's
	dry    bool // only finds what it would do
	nodes  int  // that can hold a replica; 0: not known

	unmarkable bool // the login may not update, as far as a mark goes: not tried again, or a look would take too long
	ask        func(context.Context, func(context.Context) error) error

	findings []Finding
}

// askDirectly makes a call.
func askDirectly(ctx context.Context, call func(context.Context) error) error { return call(ctx) }

// run returns the resources. Those with a problem that is no warning may be absent.
func (p *provisioner) run(ctx context.Context) *Resources {
	r := &Resources{JS: p.js}
	found := map[string]jetstream.Stream{}
	for _, role := range p.cfg.roles() {
		found[role.purpose] = p.stream(ctx, role)
	}
	r.Requests, r.Results, r.Tracker = found["requests"], found["results"], found["records"]
	p.compareAges(found["results"], found["large-results"])
	if found["large-results"] != nil {
		r.Large = p.objects(ctx)
	}
	r.Consumer = p.consumer(ctx, r.Requests)
	return r
}

// stream returns a stream that is there, or nil. Its finding is the last one.
func (p *provisioner) stream(ctx context.Context, role role) jetstream.Stream {
	f := p.found(role.what)
	f.Name = role.name
	var s jetstream.Stream
	asked := time.Now()
	err := p.ask(ctx, func(ctx context.Context) (err error) {
		s, err = p.js.Stream(ctx, role.name)
		return err
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound) && p.create && !p.dry:
		return p.createStream(ctx, role, f)
	case errors.Is(err, jetstream.ErrStreamNotFound):
		f.missing(p.create)
		p.obstacles(ctx, role, f)
		return nil
	case err != nil:
		f.failed("", err)
		return nil
	}
	f.Stream = s.CachedInfo()
	p.observeTime(role, f.Stream, asked)
	if why := foreign(role.rules, f.Stream.Config, f.Stream.Config.Metadata, role.purpose); why != "" {
		f.wrong("belongs to another application and is left as it is: %s. Choose another name in the settings, or mark it as Capstan's: nats stream edit %s --metadata %s=%s",
			why, role.name, mark, role.purpose)
		return nil
	}
	if p.mend && !p.dry {
		s = p.updateStream(ctx, role, s, f)
	}
	p.obstacles(ctx, role, f)
	for _, r := range broken(role.rules, f.Stream.Config) {
		f.breaks(r.says(f.Stream.Config), r.level, p.create && r.mender == worker)
	}
	if why := full(f.Stream); why != "" {
		f.breaks(why, role.full, false)
	}
	return s
}

func (p *provisioner) createStream(ctx context.Context, role role, f *Finding) jetstream.Stream {
	cfg := jetstream.StreamConfig{Name: role.name, Metadata: map[string]string{mark: role.purpose}}
	for _, r := range role.rules {
		if r.set != nil {
			r.set(&cfg)
		}
	}
	asked := time.Now()
	s, err := p.js.CreateStream(ctx, cfg)
	if err != nil {
		f.failed("create: ", p.explain(ctx, err, role.name, cfg.Subjects))
		return nil
	}
	f.Stream = s.CachedInfo()
	p.observeTime(role, f.Stream, asked)
	return s
}

// observeTime lets the clock learn the server's time from an answer that has just come. Only the leader of the request
// stream counts: the clocks of other servers may differ.
func (p *provisioner) observeTime(role role, info *jetstream.StreamInfo, asked time.Time) {
	if role.purpose == "requests" || p.dry {
		p.clock.Observe(info.TimeStamp, asked, time.Now())
	}
}

// updateStream mends a stream of Capstan's that breaks rules, and marks it. It returns s where that fails.
func (p *provisioner) updateStream(ctx context.Context, role role, s jetstream.Stream, f *Finding) jetstream.Stream {
	cfg := f.Stream.Config
	mended := mend(role.rules, &cfg)
	if !mended && (cfg.Metadata[mark] != "" || p.unmarkable) {
		return s
	}
	cfg.Metadata = marked(cfg.Metadata, role.purpose)
	ctx, cancel := updateTime(ctx, mended)
	defer cancel()
	updated, err := p.js.UpdateStream(ctx, cfg)
	switch {
	case err != nil && !mended:
		p.unmarkable = true
		return s
	case err != nil:
		f.failed("update: ", p.explain(ctx, err, role.name, cfg.Subjects))
		return s
	}
	f.Stream = updated.CachedInfo()
	return updated
}

// markTimeout bounds an update that does no more than mark a stream: a worker can do without, and its login may
// not be permitted to update.
const markTimeout = time.Second

// updateTime bounds an update.
func updateTime(ctx context.Context, needed bool) (context.Context, context.CancelFunc) {
	if needed {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, markTimeout)
}

// marked returns metadata with the mark.
func marked(metadata map[string]string, purpose string) map[string]string {
	all := map[string]string{mark: purpose}
	for name, value := range metadata {
		if name != mark {
			all[name] = value
		}
	}
	return all
}

// compareAges warns where large results are kept for less long than the events that name them.
func (p *provisioner) compareAges(results, large jetstream.Stream) {
	if results == nil || large == nil {
		return
	}
	events, objects := results.CachedInfo().Config.MaxAge, large.CachedInfo().Config.MaxAge
	if objects != 0 && (events == 0 || objects < events) {
		f := &p.findings[len(p.findings)-1] // the object store's
		f.breaks(fmt.Sprintf("max age should be that of %s, or events name results that are gone (got %v)", p.cfg.Results.Name, objects), warning, false)
	}
}

// objects returns the object store of large results, or nil.
func (p *provisioner) objects(ctx context.Context) jetstream.ObjectStore {
	store, err := p.js.ObjectStore(ctx, p.cfg.Large)
	if err != nil {
		p.findings[len(p.findings)-1].failed("", err)
		return nil
	}
	return store
}

// explain adds to a refusal what its words leave out: with which stream the subjects overlap.
func (p *provisioner) explain(ctx context.Context, err error, name string, subjects []string) error {
	refusal, ok := errors.AsType[*jetstream.APIError](err)
	if !ok || refusal.ErrorCode != subjectsOverlap {
		return err
	}
	if others := p.overlapping(ctx, name, subjects); len(others) > 0 {
		return fmt.Errorf("its subjects overlap with those of stream %s: %w", strings.Join(others, ", "), err)
	}
	return err
}

// subjectsOverlap is the server's code of that error.
const subjectsOverlap jetstream.ErrorCode = 10065

// overlapping returns the other streams that listen to one of the subjects; none where it may not ask.
func (p *provisioner) overlapping(ctx context.Context, name string, subjects []string) []string {
	ctx, cancel := context.WithTimeout(ctx, overlapTimeout)
	defer cancel()
	others := map[string]bool{}
	for _, subject := range subjects {
		_ = p.ask(ctx, func(ctx context.Context) error { // without an answer the refusal itself has to do
			names := p.js.StreamNames(ctx, jetstream.WithStreamListSubject(subject))
			for other := range names.Name() {
				others[other] = other != name
			}
			return names.Err()
		})
	}
	return chosen(others)
}

// overlapTimeout bounds the search for a stream whose subjects overlap.
const overlapTimeout = 2 * time.Second
