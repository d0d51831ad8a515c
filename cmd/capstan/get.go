package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
)

// getCmd shows the record of a task, and its event once it has finished. It reads from the bucket and the
// stream, and asks no worker: it works while all workers are stopped.
type getCmd struct {
	Task string `arg:"" help:"Task id."`
	JSON bool   `name:"json" help:"Print the record and the event as JSON."`
}

// stored is everything that is stored about a task. It is also the output of --json, so its names are part
// of the interface.
type stored struct {
	Record task.Record `json:"record"`
	// Event is nil until the task has finished, and after the event has expired.
	Event *task.Event `json:"event,omitempty"`
}

// Help is printed below the flags.
func (*getCmd) Help() string {
	return `Examples:

  capstan get ord-1842
  capstan get ord-1842 --json | jq .event.result`
}

// Run shows the task. It returns an error if there is no record of the task. An event that has expired and
// a large result that cannot be fetched are only noted: the record is still worth showing. A task that
// failed is no error here.
func (g *getCmd) Run(ctx context.Context, t *terminal) error {
	if err := checkTaskID(g.Task); err != nil {
		return err
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	var k stored
	if k.Record, err = c.record(ctx, g.Task); err != nil {
		return err
	}
	k.Event, err = c.event(ctx, k.Record)
	switch {
	case errors.Is(err, task.ErrNoEvent):
		t.note("the event has expired from the stream")
	case err != nil:
		return err
	case k.Event != nil:
		if err := c.fetchResult(ctx, k.Event); err != nil {
			t.complain(err)
		}
	}
	if g.JSON {
		return t.printJSON(k)
	}
	return k.print(t)
}

// record reads the task's record from the tracker's bucket, under the task id. A task has no record before
// a worker claims it, after TRACKER_TTL, and if its request was invalid; the error lists these reasons,
// because NATS cannot tell them apart.
func (c *client) record(ctx context.Context, id string) (task.Record, error) {
	bucket, err := c.js.KeyValue(ctx, c.cfg.Tracker.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return task.Record{}, c.missing("bucket", c.cfg.Tracker.Bucket)
	}
	if err != nil {
		return task.Record{}, fmt.Errorf("find bucket %s: %w", c.cfg.Tracker.Bucket, c.explain(ctx, err))
	}
	entry, err := bucket.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return task.Record{}, fmt.Errorf("no record of task %q: it may be queued, have been rejected as invalid, have expired, or never have existed "+
			"(capstan watch --all shows every stored event)", id)
	}
	if err != nil {
		return task.Record{}, fmt.Errorf("read record of task %s: %w", id, c.explain(ctx, err))
	}
	return task.ParseRecord(entry.Value())
}

// event reads the event that a record names, by its sequence in the results stream. It returns nil if the
// task has not finished, and task.ErrNoEvent if the stream no longer holds the event.
func (c *client) event(ctx context.Context, rec task.Record) (*task.Event, error) {
	if !rec.State.Ended() {
		return nil, nil
	}
	stream, err := c.js.Stream(ctx, c.cfg.Result.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, task.ErrNoEvent
	}
	if err != nil {
		return nil, fmt.Errorf("find stream %s: %w", c.cfg.Result.Stream, c.explain(ctx, err))
	}
	msg, err := stream.GetMsg(ctx, rec.ResultSeq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, task.ErrNoEvent
	}
	if err != nil {
		return nil, fmt.Errorf("read event of task %s: %w", rec.TaskID, c.explain(ctx, err))
	}
	ev, ok := readEvent(msg.Header, msg.Data)
	if !ok || ev.TaskID != rec.TaskID {
		// The stream was recreated, and its sequences start again from 1: this is the event of another task.
		return nil, task.ErrNoEvent
	}
	return &ev.Event, nil
}

// print shows the task as a list of names and values. Values that the task does not have yet are left out.
// Times are followed by their distance from the request.
func (k stored) print(t *terminal) error {
	row := func(name, format string, args ...any) {
		t.printf("%s  %s\n", faint(fmt.Sprintf("%-9s", name)), fmt.Sprintf(format, args...))
	}
	timeRow := func(name string, moment time.Time) {
		if !moment.IsZero() {
			row(name, "%s  %s", clock(moment), faint("+"+rounded(moment.Sub(k.Record.RequestedAt))))
		}
	}
	rec := k.Record
	row("task", "%s", bold(oneLine(rec.TaskID, messageWidth)))
	row("state", "%s", colorOf(rec.State).Sprint(k.state()))
	row("owner", "%s, epoch %d", oneLine(rec.Owner, messageWidth), rec.Epoch)
	if rec.WorkflowID != "" {
		row("workflow", "%s", oneLine(rec.WorkflowID, messageWidth))
	}
	if rec.SessionID != "" {
		row("session", "%s", oneLine(rec.SessionID, messageWidth))
	}
	row("requested", "%s", clock(rec.RequestedAt))
	timeRow("submitted", rec.SubmittedAt)
	timeRow("finished", rec.FinishedAt)
	row("attempts", "%d", rec.Attempts)
	row("polls", "%d", rec.Polls)
	return k.printAnswer(t)
}

// state is the state of the record, with the code of a failure. The event takes precedence. If it has
// expired, the code in the record is all that is left of it.
func (k stored) state() string {
	switch {
	case k.Event != nil:
		return describeStatus(*k.Event)
	case k.Record.State == task.Failed:
		return describeStatus(task.Event{Error: &task.Error{Code: k.Record.ErrorCode}})
	default:
		return string(k.Record.State)
	}
}

// printAnswer prints the result. For a failed task it prints the error and, if the agent sent anything,
// what it sent: that often shows why the task failed.
func (k stored) printAnswer(t *terminal) error {
	if k.Event == nil {
		return nil
	}
	t.printf("\n")
	result := k.Event.Result
	if k.Event.Error != nil {
		t.printf("%s\n", oneLine(k.Event.Error.Message, messageWidth))
		result = k.Event.RawResult
	}
	if result == nil {
		return nil
	}
	return t.printJSON(result)
}
