// Package check is the command capstan check: it checks that a worker with these settings can run, and reports what the
// packages streams, anchor and settings find.
package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/streams"
)

// Level is how bad a result is. A higher level is worse, so the worst of several is their maximum.
type Level int

// The levels of a result.
const (
	OK   Level = iota
	Warn       // a worker works, but this is not recommended
	Bad        // a worker does not work
)

// Result is what was found about one thing that a worker needs. It is meant for people: no program should
// parse its texts.
type Result struct {
	Level   Level
	Subject string // as in "stream TASKS"

	// Text is one sentence or several, and says what to do unless the level is OK. It may contain texts of
	// NATS and of the API, so print it with care.
	Text string
}

// callTimeout bounds one call of a check.
const callTimeout = 3 * time.Second

// Run checks whether a worker with these settings could do its work, and reports each result as it comes. mistakes are
// those in the settings. A failed check does not stop the others. Run changes nothing: it creates no stream, stores no
// message and takes no request.
func Run(ctx context.Context, cfg app.Config, mistakes []string, version string, report func(Result)) {
	c := &checker{cfg: cfg, report: report, mistakes: mistakes, violations: make(chan string, 1)}
	for _, mistake := range mistakes {
		c.add(Bad, "settings", "%s", mistake)
	}
	if len(mistakes) == 0 {
		c.add(OK, "settings", "valid")
	}
	if err := c.connect(ctx); err != nil {
		c.add(Bad, "NATS", "%v", err)
	} else {
		c.streams(ctx)
		c.stranded(ctx)
		if c.permissions(ctx) {
			c.workers(ctx)
		}
	}
	c.api(ctx, version)
	if c.nc != nil {
		c.nc.Close()
	}
}

// checker runs the checks one after the other, and reports what they find. Run owns it. Only violations is
// shared with a goroutine of the NATS client.
type checker struct {
	cfg      app.Config
	report   func(Result)
	mistakes []string // in the settings
	nc       *nats.Conn
	clock    servertime.Clock

	requests *uint64 // on the stream; nil if that could not be read

	// violations holds a missing permission: the server reports it apart from the call, which gets no
	// answer.
	violations chan string
}

// add reports a result at once, so that a user sees progress while a later check waits for an answer.
func (c *checker) add(level Level, subject, format string, args ...any) {
	c.report(Result{Level: level, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

// connect connects to NATS. It returns an error if the server cannot be asked about anything: no server, an
// old one, or a login that may not receive replies. Without replies each later check would wait in vain. It
// leaves nc set even if a later step fails, so that Run closes it.
func (c *checker) connect(ctx context.Context) error {
	nc, err := streams.ConnectTool(c.cfg.NATS, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) && !strings.Contains(err.Error(), probeReply) {
			select {
			case c.violations <- c.cfg.Streams().MissingPermission(err):
			default: // one is enough
			}
		}
	}))
	if err != nil {
		return err
	}
	c.nc = nc
	if err := streams.CheckServer(nc); err != nil {
		return err
	}
	rtt, err := nc.RTT()
	if err != nil || ctx.Err() != nil {
		return fmt.Errorf("no answer from %s", nc.ConnectedUrlRedacted())
	}
	// A subscription is denied without an answer, and each request would then time out.
	if err := c.ask(ctx, c.subscribe); err != nil {
		return fmt.Errorf("cannot receive replies: %w. Grant it, or set NATS_INBOX_PREFIX to a prefix that the login may subscribe to", err)
	}
	const eventSize = 4 << 10 // without result and metadata
	if most := nc.MaxPayload(); most < eventSize {
		return fmt.Errorf("max_payload of %s must be at least %d bytes, the size of an event (got %d)", nc.ConnectedUrlRedacted(), eventSize, most)
	}
	c.add(OK, "NATS", "%s at %s, %v", describeServer(nc), nc.ConnectedUrlRedacted(), rtt.Round(time.Millisecond/10))
	return nil
}

// describeServer returns the name and the version of the server. One without a name calls itself by its id, which says nothing.
func describeServer(nc *nats.Conn) string {
	version := "version " + nc.ConnectedServerVersion()
	if name := nc.ConnectedServerName(); name != nc.ConnectedServerId() {
		return name + ", " + version
	}
	return version
}
