// Package check looks whether a worker could do its work.
package check

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/app"
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

// latePending is from where on a consumer passes on a dead worker's tasks too late.
const latePending = 50_000

// Run looks whether a worker with these settings could do its work, and reports what it finds as it
// goes. It changes nothing: it makes no stream, stores no message and takes no request.
func Run(ctx context.Context, cfg app.Config, version string, report func(Finding)) {
	c := &checker{cfg: cfg, report: report}
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
	denied chan string // violations of permissions, as the server tells of them
}

func (c *checker) say(level Level, what, format string, args ...any) {
	c.report(Finding{Level: level, What: what, Says: fmt.Sprintf(format, args...)})
}

// connect reports whether there is a server to ask.
func (c *checker) connect(ctx context.Context) bool {
	const what = "NATS"
	c.denied = make(chan string, 1)
	nc, err := streams.ConnectTool(c.cfg.NATS, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			select {
			case c.denied <- err.Error():
			default: // one is enough
			}
		}
	}))
	if err != nil {
		c.say(Bad, what, "%v", err)
		return false
	}
	c.nc = nc
	if c.js, err = jetstream.New(nc); err == nil {
		err = streams.CheckServer(nc)
	}
	if err != nil {
		c.say(Bad, what, "%v", err)
		nc.Close()
		return false
	}
	rtt, err := nc.RTT()
	if err != nil || ctx.Err() != nil {
		c.say(Bad, what, "no answer from %s", nc.ConnectedUrlRedacted())
		nc.Close()
		return false
	}
	if err := c.ask(ctx, c.listen); err != nil {
		c.say(Bad, what, "no answers can be heard: %v, or set NATS_INBOX_PREFIX to what it may subscribe to", err)
		nc.Close()
		return false
	}
	c.say(OK, what, "%s (%s) at %s, %v", nc.ConnectedServerName(), nc.ConnectedServerVersion(), nc.ConnectedUrlRedacted(), rtt.Round(time.Millisecond/10))
	return true
}

// listen tries to subscribe to an inbox, as each call does.
func (c *checker) listen(ctx context.Context) error {
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // or it ends with the connection
	return c.flushed(ctx, inbox)
}

// flushed waits until the server has read what was sent, and returns its refusal where it concerns the
// subject.
func (c *checker) flushed(ctx context.Context, subject string) error {
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return err
	}
	if err := c.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), strconv.Quote(subject)) {
		return err
	}
	return nil
}

// ask makes one call, and tells a refused permission from silence.
func (c *checker) ask(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, checkCall)
	defer cancel()
	select {
	case <-c.denied: // of an earlier call
	default:
	}
	done := make(chan error, 1)
	go func() { done <- call(ctx) }() // ends with ctx
	select {
	case words := <-c.denied:
		return notPermitted(words)
	case err := <-done:
		if errors.Is(err, nats.ErrPermissionViolation) {
			return notPermitted(err.Error())
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return errors.New("no answer: is JetStream up, and does the stream have a leader?")
		}
		return err
	}
}

// notPermitted says in the server's words what the login lacks.
func notPermitted(words string) error {
	_, words, _ = strings.Cut(words, "Permissions Violation ")
	return fmt.Errorf("not permitted: %s. Give the worker's login this permission", strings.TrimSpace(words))
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
	switch refused, ok := errors.AsType[*anchor.RefusedError](err); {
	case ok:
		c.say(Bad, what, "%v. Look at ANCHORBROWSER_API_KEY (or _FILE), and at the account's credits and cost limit", refused)
	case err != nil: // a worker rides it out, and a fleet must be able to start meanwhile
		c.say(Warn, what, "%v. Workers start all the same, and submit when it is back", err)
	case plan.Credits <= 0:
		c.say(Warn, what, "the key is good, but no credits are left: submissions will pause")
		c.places(plan)
	default:
		c.say(OK, what, "the key is good, plan %q, %.2f credits left", plan.Tier, plan.Credits)
		c.places(plan)
	}
}

// places compares how many tasks all workers hold with what the plan runs at once, and NATS passes on.
func (c *checker) places(plan anchor.Plan) {
	const what = "MAX_IN_FLIGHT_TOTAL"
	total := c.cfg.MaxInFlightTotal
	switch {
	case total > latePending:
		c.say(Warn, what, "%d: beyond %d NATS passes on a dead worker's tasks too late. Set less", total, latePending)
	case plan.Browsers > 0 && total > plan.Browsers:
		c.say(Warn, what, "%d: the plan runs %d browsers at once, and the API answers 429 beyond. Set %d or less", total, plan.Browsers, plan.Browsers)
	case total < c.cfg.MaxInFlight:
		c.say(Warn, what, "%d is less than MAX_IN_FLIGHT, %d: one worker cannot use its places. Set workers × MAX_IN_FLIGHT", total, c.cfg.MaxInFlight)
	case plan.Browsers == 0:
		c.say(OK, what, "%d; the API did not say how many browsers the plan runs at once. %s", total, c.survivors())
	case plan.Browsers < 0:
		c.say(OK, what, "%d; the plan has no limit of browsers. %s", total, c.survivors())
	default:
		c.say(OK, what, "%d of the %d browsers that the plan runs at once. %s", total, plan.Browsers, c.survivors())
	}
}

// survivors says how many workers it takes for the tasks of one that dies to find places at once, also where all are
// full. With fewer there is a tenth of their places, which is kept for that.
func (c *checker) survivors() string {
	full := (c.cfg.MaxInFlightTotal + c.cfg.MaxInFlight - 1) / c.cfg.MaxInFlight
	return fmt.Sprintf("With %d workers or more the tasks of one that dies always find places at once", full+1)
}
