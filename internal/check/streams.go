package check

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/streams"
)

// streams reports what a dry run of provisioning finds, one line per resource, and what the existing streams say about the
// domain, the duplicate window and the clock. It does not provision.
func (c *checker) streams(ctx context.Context) {
	dryRun := streams.DryRun{Conn: c.nc, Clock: &c.clock, Ask: c.ask}
	reports, err := dryRun.Run(ctx, c.cfg.Streams())
	if err != nil {
		c.add(Bad, "JetStream", "%v", err)
		return
	}
	var existing *jetstream.StreamInfo // any of them: they share their domain and the server's time
	missing := 0
	for _, r := range reports {
		c.addReport(ctx, r)
		if r.Stream != nil {
			existing = r.Stream
		}
		if r.Stream != nil && r.Stream.Config.Name == c.cfg.Request.Stream {
			c.requests = &r.Stream.State.Msgs
		}
		if r.Stream != nil && r.Stream.Config.Name == c.cfg.Result.Stream {
			c.duplicates(r.Stream)
		}
		if strings.HasPrefix(r.RepairCall, "STREAM.CREATE.") {
			missing++
		}
	}
	c.control(ctx, missing)
	if existing != nil {
		c.domain(existing.Domain)
		c.sync()
	}
}

// addReport reports one resource, at the level of its worst problem. A problem that a worker will repair is
// no more than a warning, unless the login lacks the permission. What is merely missing and will be created
// is no warning: that is how every new installation begins.
func (c *checker) addReport(ctx context.Context, r *streams.Report) {
	level, isRepaired := OK, false
	var texts []string
	for _, p := range r.Problems {
		texts = append(texts, p.Text)
		switch {
		case p.Repairable && r.Missing:
		case p.Repairable:
			isRepaired = true
			level = max(level, Warn)
		case p.Warning:
			level = max(level, Warn)
		default:
			level = Bad
		}
	}
	if r.RepairCall != "" {
		if missing := c.missingPermission(ctx, c.cfg.Streams().API(r.RepairCall)); missing != "" {
			texts, level = append(texts, "a worker may not do that: "+missing), Bad
		}
	}
	if isRepaired && level == Warn {
		texts[len(texts)-1] += ". A worker fixes this when it starts (NATS_PROVISION)"
	}
	if len(texts) == 0 {
		texts = []string{r.Summary}
	}
	c.add(level, r.Resource, "%s", strings.Join(texts, "; "))
}

// duplicates reports for how long the results stream recognizes a second copy of an event. An operator may shorten it:
// workers then search the stream before they publish an event again.
func (c *checker) duplicates(results *jetstream.StreamInfo) {
	const subject = "duplicate window"
	if window := results.Config.Duplicates; window < streams.DuplicateWindow {
		c.add(Warn, subject, "duplicate events are detected for %v: with less than %v, workers search the stream more often", window, streams.DuplicateWindow)
	} else {
		c.add(OK, subject, "duplicate events are detected for %v", window)
	}
}

// domain reports the JetStream domain of the streams, and warns if the server chose it. A worker at a
// server of another domain would create streams of its own there, and each request would run twice. Without
// a domain, which is the usual case, it reports nothing.
func (c *checker) domain(domain string) {
	const subject = "JetStream domain"
	switch {
	case domain == "":
	case c.cfg.NATS.JSDomain == "":
		c.add(Warn, subject, "%q, chosen by the server: a worker at a server of another domain would create its own streams, and each request would run twice. Set NATS_JS_DOMAIN=%s for all workers", domain, domain)
	default:
		c.add(OK, subject, "%q; the server's own is %q", domain, c.nc.ConnectedDomain())
	}
}

// sync compares this machine's clock with the time in the server's answers. A worker corrects the
// difference itself, but logs and traces have this machine's time. It needs at least one answer about a
// stream.
func (c *checker) sync() {
	const subject = "clock"
	if skew := streams.DescribeSkew(c.clock.Skew()); skew != "" {
		c.add(Warn, subject, "%s. Synchronize it with NTP: the ages of tasks are measured by NATS' clock", skew)
	} else {
		c.add(OK, subject, "in sync with NATS")
	}
}
