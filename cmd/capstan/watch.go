package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/request"
	"github.com/capstan-worker/capstan/internal/task"
)

// watchCmd prints events until it is interrupted, or until one of its ends. It reads through a consumer of its own, which
// acknowledges nothing and takes no event away from a subscriber.
type watchCmd struct {
	Since     time.Duration `xor:"from" placeholder:"DURATION" help:"Start with events from this long ago, for example 10m. Default: only new events; with --until-now or --until-done all stored ones."`
	All       bool          `xor:"from" help:"Start with the oldest stored event."`
	UntilNow  bool          `xor:"end" help:"Print what is stored, and end."`
	UntilDone bool          `xor:"end" help:"End when all known tasks of the batch have ended. Exits 1 if one of them failed."`
	Failed    bool          `help:"Only tasks that failed."`
	Code      []string      `placeholder:"CODE" predictor:"code" help:"Only tasks that failed with these error codes."`
	Batch     string        `placeholder:"NAME" help:"Only tasks of this batch."`
	Task      []string      `placeholder:"ID" help:"Only these tasks."`
	JSON      bool          `name:"json" help:"Print each event as the JSON that was published, one per line."`

	codes []task.Code
}

// Help is printed below the flags.
func (*watchCmd) Help() string {
	return `A terminal shows what fits into its width. A pipe gets all of it, in these columns: time, id, status, code, run time,
and the result or the error. A dash stands for an empty one.

Examples:

  capstan watch                                   new events, one line each
  capstan watch --since 1h --failed               also those of the last hour, only of tasks that failed
  capstan watch --batch night --until-done        all events of a batch, until it is done
  capstan watch --all --until-now --json | jq 'select(.status == "failed")'`
}

// Run prints events until ctx ends, and then returns why. An outage of NATS is noted and does not end it:
// printing continues with the next event once NATS is back. A login that NATS refuses from then on is an error.
func (w *watchCmd) Run(ctx context.Context, t *terminal) error {
	if err := w.check(); err != nil {
		return usageError{err}
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
	if w.UntilNow || w.UntilDone {
		return w.toTheEnd(connected, t, c)
	}
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

// check checks the flags.
func (w *watchCmd) check() (err error) {
	if w.codes, err = codesOf(w.Code); err != nil {
		return err
	}
	switch {
	case w.Since < 0:
		return fmt.Errorf("--since must be a duration above 0, such as 10m (got %v)", w.Since)
	case w.UntilDone && w.Batch == "":
		return errors.New("--until-done needs --batch NAME: it ends when the batch is done")
	}
	for _, id := range w.Task {
		if err := request.CheckTaskID(id); err != nil {
			return fmt.Errorf("--task: %w", err)
		}
	}
	return nil
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

// toTheEnd prints stored events up to the end that was asked for: what is stored now, or the last task of the batch.
func (w *watchCmd) toTheEnd(ctx context.Context, t *terminal, c *client) error {
	var from jetstream.OrderedConsumerConfig
	if w.Since > 0 {
		moment := time.Now().Add(-w.Since)
		from.DeliverPolicy, from.OptStartTime = jetstream.DeliverByStartTimePolicy, &moment
	}
	note := func(ev operator.Event) { w.print(t, ev) }
	if w.UntilNow {
		err := c.queue().Events(from).Read(ctx, note)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return c.explain(ctx, err)
	}
	end, err := inspect.FollowBatch(ctx, c.queue(), w.Batch, from, note)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return c.explain(ctx, err)
	case end.Tasks == 0:
		return fmt.Errorf("no task of batch %s is known: it was never submitted, or it ended so long ago that its records have expired", quoted(w.Batch))
	case end.Failed > 0:
		t.note("the batch has ended: %d of %s failed", end.Failed, taskCount(end.Tasks))
		return errTaskFailed
	default:
		t.note("the batch has ended: %s succeeded", taskCount(end.Tasks))
		return nil
	}
}

// takes reports whether an event is to be printed. The event itself counts, and not its headers, which a publisher of an
// older version did not set.
func (w *watchCmd) takes(ev operator.Event) bool {
	code := task.Code("")
	if ev.Error != nil {
		code = ev.Error.Code
	}
	return (!w.Failed || ev.Status == task.Failed) &&
		(len(w.codes) == 0 || slices.Contains(w.codes, code)) &&
		(w.Batch == "" || ev.Batch == w.Batch) &&
		(len(w.Task) == 0 || slices.Contains(w.Task, ev.TaskID))
}

// print prints an event that the filters take as a line for people or, with --json, as it was published: with members that
// this version does not know, and without the white space that another publisher may have put in, so that each event stays
// on one line.
func (w *watchCmd) print(t *terminal, ev operator.Event) {
	if !w.takes(ev) {
		return
	}
	if !w.JSON {
		for _, line := range eventLines(ev, t.room()) {
			t.printf("%s\n", line)
		}
		return
	}
	var line bytes.Buffer
	if json.Compact(&line, ev.Raw) == nil { // operator.ReadEvent accepted it
		t.printf("%s\n", escapeControls(line.String()))
	}
}
