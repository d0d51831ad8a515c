package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// watchCmd prints events until it is told to stop.
type watchCmd struct {
	Since time.Duration `xor:"from" placeholder:"DURATION" help:"Begin with the events of this long ago, such as 10m. Default: only new ones."`
	All   bool          `xor:"from" help:"Begin with the oldest event that is stored."`
	JSON  bool          `name:"json" help:"Print each event as it was published, one to a line."`
}

// Run runs the command.
func (w *watchCmd) Run(ctx context.Context, t *terminal) error {
	if w.Since < 0 {
		return usageError{fmt.Errorf("--since is %v: give a duration above 0, such as 10m", w.Since)}
	}
	c, err := connect(
		nats.DisconnectErrHandler(func(nc *nats.Conn, _ error) {
			if ctx.Err() == nil && !nc.IsClosed() {
				t.note("lost NATS, waiting for it")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { t.note("NATS is back, at %s", nc.ConnectedUrlRedacted()) }),
	)
	if err != nil {
		return err
	}
	defer c.nc.Close()
	events, err := c.follow(ctx, w.beginning())
	if err != nil {
		return err
	}
	t.note("watching %s at %s, Ctrl-C ends it", c.cfg.Result.Subject, c.url())
	for {
		select {
		case ev := <-events:
			w.print(t, ev)
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *watchCmd) beginning() beginning {
	switch {
	case w.All:
		return fromStart()
	case w.Since > 0:
		return since(time.Now().Add(-w.Since))
	default:
		return fromNow()
	}
}

func (w *watchCmd) print(t *terminal, ev received) {
	if !w.JSON {
		t.printf("%s\n", eventLine(t, ev))
		return
	}
	var line bytes.Buffer
	if json.Compact(&line, ev.raw) == nil { // it has been read before
		t.printf("%s\n", escapeControls(line.String()))
	}
}
