package check

import (
	"context"
	"fmt"
	"strings"

	"github.com/capstan-worker/capstan/internal/streams"
)

// streams reports what a dry run of provisioning finds.
func (c *checker) streams(ctx context.Context) {
	inspection := streams.Inspection{Conn: c.nc, JS: c.js, Clock: &c.clock, Ask: c.ask}
	findings := inspection.Run(ctx, c.cfg.Streams())
	for _, f := range findings {
		c.tell(ctx, f)
	}
	c.replicas(findings)
	c.window(findings)
	c.domain(findings)
	c.inStep(findings)
}

// inStep compares this machine's clock with that of the server, which tells its own with each stream.
func (c *checker) inStep(findings []streams.Finding) {
	const what = "clock"
	for _, f := range findings {
		if f.Stream == nil {
			continue
		}
		if skew := streams.DescribeSkew(c.clock.Skew()); skew != "" {
			c.say(Warn, what, "%s: set it by NTP. Ages of tasks go by NATS' clock", skew)
		} else {
			c.say(OK, what, "in step with NATS")
		}
		return
	}
}

// tell reports one finding, by the worst of its problems.
func (c *checker) tell(ctx context.Context, f streams.Finding) {
	if denied := c.mayMend(ctx, f); denied != "" {
		f.Problems = append(f.Problems, streams.Problem{Says: "a worker may not do that: " + denied})
	}
	level := OK
	var says []string
	mended := false
	for _, p := range f.Problems {
		says = append(says, p.Says)
		switch {
		case p.Mended && f.Missing:
		case p.Mended:
			mended = true
			level = max(level, Warn)
		case p.Warning:
			level = max(level, Warn)
		default:
			level = Bad
		}
	}
	text := strings.Join(says, "; ")
	if mended && level == Warn {
		text += ". A worker mends that when it starts (NATS_PROVISION)"
	}
	if text == "" {
		text = detail(f)
	}
	c.say(level, f.What, "%s", text)
}

// mayMend returns what is denied of the calls that would create or mend the thing.
func (c *checker) mayMend(ctx context.Context, f streams.Finding) string {
	needed := false
	for _, p := range f.Problems {
		needed = needed || p.Mended
	}
	if !needed {
		return ""
	}
	cfg := c.cfg.Streams()
	if f.Consumer != nil || strings.HasPrefix(f.What, "consumer ") {
		return c.denial(ctx, cfg.API("CONSUMER.CREATE."+cfg.Requests.Name+"."+cfg.Consumer+"."+cfg.Requests.Subject))
	}
	if f.Missing {
		return c.denial(ctx, cfg.API("STREAM.CREATE."+f.Name))
	}
	return c.denial(ctx, cfg.API("STREAM.UPDATE."+f.Name))
}

// detail says how a thing is that nothing is wrong with.
func detail(f streams.Finding) string {
	switch {
	case f.Consumer != nil:
		return fmt.Sprintf("%d requests wait, %d are held", f.Consumer.NumPending, f.Consumer.NumAckPending)
	case f.Stream != nil:
		return fmt.Sprintf("as it has to be, %d messages", f.Stream.State.Msgs)
	case f.Account != nil:
		return fmt.Sprintf("%d streams, %d bytes stored", f.Account.Streams, f.Account.Store)
	default:
		return "as it has to be"
	}
}

// replicas warns, once for all, of what is lost with one disk.
func (c *checker) replicas(findings []streams.Finding) {
	const what = "replicas"
	var single []string
	least := 0
	for _, f := range findings {
		if f.Stream == nil {
			continue
		}
		least = max(least, f.Stream.Config.Replicas)
		if f.Stream.Config.Replicas == 1 {
			single = append(single, f.Stream.Config.Name)
		}
	}
	known := len(c.nc.Servers())
	switch {
	case len(single) > 0:
		c.say(Warn, what, "one replica: if its disk dies, the data is lost (%s). Use NATS_REPLICAS=3 on a three-node cluster", strings.Join(single, ", "))
	case least == 0 && c.cfg.NATS.Replicas > 1 && c.nc.ConnectedClusterName() != "" && known < c.cfg.NATS.Replicas:
		c.say(Warn, what, "NATS_REPLICAS is %d, and %d servers of the cluster are known: NATS refuses more replicas than it has servers", c.cfg.NATS.Replicas, known)
	case least > 0:
		c.say(OK, what, "no stream has a single one")
	}
}

// window tells for how long the results stream knows an event again by its id.
func (c *checker) window(findings []streams.Finding) {
	const what = "duplicate window"
	for _, f := range findings {
		if f.Stream == nil || f.Stream.Config.Name != c.cfg.Result.Stream {
			continue
		}
		if found := f.Stream.Config.Duplicates; found < streams.DuplicateWindow {
			c.say(Warn, what, "an event is known again for %v: with less than %v, workers look through the stream more often", found, streams.DuplicateWindow)
		} else {
			c.say(OK, what, "an event is known again for %v", found)
		}
	}
}

// domain tells the JetStream domain of the streams, and warns where it was left to the server: a worker at a server of
// another domain would create streams of its own there, and both would run what is published once.
func (c *checker) domain(findings []streams.Finding) {
	const what = "JetStream domain"
	for _, f := range findings {
		if f.Stream == nil {
			continue
		}
		switch there := f.Stream.Domain; {
		case there != "" && c.cfg.NATS.JSDomain == "":
			c.say(Warn, what, "%q, by the choice of the server: a worker at a server of another domain would create streams of its own, and both would run each request. Set NATS_JS_DOMAIN=%s for all workers", there, there)
		case there != "":
			c.say(OK, what, "%q; that of the server is %q", there, c.nc.ConnectedDomain())
		}
		return
	}
}
