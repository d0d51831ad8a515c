// Package check is capstan check: it looks whether a worker with these settings could do its work, and prints what
// streams, anchor and the settings find.
package check

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/streams"
)

// Level is how bad a finding is.
type Level int

// The levels of a finding.
const (
	OK   Level = iota
	Warn       // a worker works like this, but it is not advised
	Bad        // a worker does not work like this
)

// Finding is what a check found of one thing that has to be right.
type Finding struct {
	Level Level
	What  string
	Says  string // and what to do, unless it is OK
}

// checkCall bounds one call of a check.
const checkCall = 3 * time.Second

// Run looks whether a worker with these settings, of which mistakes tells what is wrong, could do its work, and
// reports what it finds as it goes: everything it can see, whatever is wrong elsewhere. It changes nothing: it makes
// no stream, stores no message and takes no request.
func Run(ctx context.Context, cfg app.Config, mistakes []string, version string, report func(Finding)) {
	c := &checker{cfg: cfg, report: report, denied: make(chan violation, 1)}
	for _, mistake := range mistakes {
		c.say(Bad, "settings", "%s", mistake)
	}
	if len(mistakes) == 0 {
		c.say(OK, "settings", "can be used")
	}
	if c.connect(ctx) {
		c.streams(ctx)
		c.permissions(ctx)
		c.nc.Close()
	}
	c.api(ctx, version)
}

// checker reports what it finds.
type checker struct {
	cfg    app.Config
	report func(Finding)
	nc     *nats.Conn
	js     jetstream.JetStream
	clock  servertime.Clock
	denied chan violation // as the server tells of them
}

// violation is what the server says of a permission that is missing.
type violation struct{ err error }

func (c *checker) say(level Level, what, format string, args ...any) {
	c.report(Finding{Level: level, What: what, Says: fmt.Sprintf(format, args...)})
}

// connect reports whether there is a server to ask.
func (c *checker) connect(ctx context.Context) bool {
	const what = "NATS"
	nc, err := streams.ConnectTool(c.cfg.NATS, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			select {
			case c.denied <- violation{err}:
			default: // one is enough
			}
		}
	}))
	if err != nil {
		c.say(Bad, what, "%v", err)
		return false
	}
	c.nc = nc
	if err := c.answers(ctx); err != nil {
		c.say(Bad, what, "%v", err)
		nc.Close()
		return false
	}
	return true
}

// answers looks whether the server can be asked, and tells which one it is.
func (c *checker) answers(ctx context.Context) (err error) {
	if c.js, err = c.cfg.NATS.JetStream(c.nc); err != nil {
		return err
	}
	if err := streams.CheckServer(c.nc); err != nil {
		return err
	}
	rtt, err := c.nc.RTT()
	if err != nil || ctx.Err() != nil {
		return fmt.Errorf("no answer from %s", c.nc.ConnectedUrlRedacted())
	}
	if err := c.ask(ctx, c.listen); err != nil {
		return fmt.Errorf("no answers can be heard: %w, or set NATS_INBOX_PREFIX to what it may subscribe to", err)
	}
	const least = 4 << 10 // an event without its result and its metadata
	if most := c.nc.MaxPayload(); most < least {
		return fmt.Errorf("max_payload of %s is %d bytes, and an event takes up to %d", c.nc.ConnectedUrlRedacted(), most, least)
	}
	c.say(OK, "NATS", "%s (%s) at %s, %v", c.nc.ConnectedServerName(), c.nc.ConnectedServerVersion(), c.nc.ConnectedUrlRedacted(), rtt.Round(time.Millisecond/10))
	return nil
}

func (c *checker) api(ctx context.Context, version string) {
	const what = "API"
	client, err := anchor.New(c.cfg.Anchor, version, prometheus.NewRegistry())
	if err != nil {
		c.say(Bad, what, "%v", err)
		return
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 3*checkCall)
	defer cancel()
	plan, err := client.Plan(ctx)
	refused, isRefused := errors.AsType[*anchor.RefusedError](err)
	stranger, isStranger := errors.AsType[*anchor.NotTheAPIError](err)
	switch {
	case isRefused:
		c.say(Bad, what, "%v. Look at ANCHORBROWSER_API_KEY (or _FILE), and at the account's credits and cost limit", refused)
	case isStranger:
		c.say(Bad, what, "%v. Look at ANCHORBROWSER_BASE_URL: the scheme and host of the API, without a path", stranger)
	case err != nil: // a worker rides it out, and a fleet must be able to start in the outage
		c.say(Warn, what, "cannot be reached: %v. Workers start anyway, and submit once it is back", err)
	case plan.Credits <= 0:
		c.say(Warn, what, "the key is good, but no credits are left: submissions will pause")
		c.places(plan)
	default:
		c.say(OK, what, "the key is good, plan %q, %.2f credits left", plan.Tier, plan.Credits)
		c.places(plan)
	}
}
