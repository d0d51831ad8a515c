package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// watchCmd prints events until it is interrupted. It reads through a consumer of its own, which
// acknowledges nothing and takes no event away from a subscriber.
type watchCmd struct {
	Since time.Duration `xor:"from" placeholder:"DURATION" help:"Start with events from this long ago, for example 10m. Default: only new events."`
	All   bool          `xor:"from" help:"Start with the oldest stored event."`
	JSON  bool          `name:"json" help:"Print each event as the JSON that was published, one per line."`
}

// Help is printed below the flags.
func (*watchCmd) Help() string {
	return `Examples:

  capstan watch              new events, one line each
  capstan watch --since 1h   also those of the last hour
  capstan watch --json | jq 'select(.status == "failed")'`
}

// Run prints events until ctx ends, and then returns why. An outage of NATS is noted and does not end it:
// printing continues with the next event once NATS is back. A login that NATS refuses from then on is an error.
func (w *watchCmd) Run(ctx context.Context, t *terminal) error {
	if w.Since < 0 {
		return usageError{fmt.Errorf("--since must be a duration above 0, such as 10m (got %v)", w.Since)}
	}
	c, err := connect(
		nats.DisconnectErrHandler(func(nc *nats.Conn, _ error) {
			// The connection also ends when the command does, which is not worth a line.
			if ctx.Err() == nil && !nc.IsClosed() {
				t.note("disconnected from NATS, reconnecting")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { t.note("reconnected to NATS at %s", nc.ConnectedUrlRedacted()) }),
	)
	if err != nil {
		return err
	}
	defer c.nc.Close()
	connected, stop := c.whileConnected(ctx)
	defer stop()
	events, err := c.follow(connected, w.start())
	if err != nil {
		return err
	}
	t.note("watching %s at %s; Ctrl-C stops", c.cfg.Result.Subject, c.url())
	for {
		select {
		case ev := <-events:
			w.print(t, ev)
		case <-connected.Done():
			return context.Cause(connected)
		}
	}
}

// start is the first event to print. The flags --all and --since exclude each other.
func (w *watchCmd) start() startAt {
	switch {
	case w.All:
		return fromStart()
	case w.Since > 0:
		return since(time.Now().Add(-w.Since))
	default:
		return fromNow()
	}
}

// print prints an event as a line for people or, with --json, as it was published: with members that this
// version does not know, and without the white space that another publisher may have put in, so that each
// event stays on one line.
func (w *watchCmd) print(t *terminal, ev received) {
	if !w.JSON {
		t.printf("%s\n", eventLine(ev))
		return
	}
	var line bytes.Buffer
	if json.Compact(&line, ev.raw) == nil { // readEvent accepted it
		t.printf("%s\n", escapeControls(line.String()))
	}
}
