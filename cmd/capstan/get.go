package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
)

// getCmd shows a task's record, and its event once it has ended.
type getCmd struct {
	Task string `arg:"" help:"The task's id."`
	JSON bool   `name:"json" help:"Print the record and the event as JSON."`
}

// known is what is stored of a task.
type known struct {
	Record task.Record `json:"record"`
	Event  *task.Event `json:"event,omitempty"` // nil until the task has ended, and once its event is gone
}

// Run runs the command.
func (g *getCmd) Run(ctx context.Context, t *terminal) error {
	if err := checkTaskID(g.Task); err != nil {
		return err
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	var k known
	if k.Record, err = c.record(ctx, g.Task); err != nil {
		return err
	}
	k.Event, err = c.event(ctx, k.Record)
	switch {
	case errors.Is(err, task.ErrNoEvent):
		t.note("its event is not stored any more")
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

// record reads the task's record from the tracker's bucket.
func (c *client) record(ctx context.Context, id string) (task.Record, error) {
	bucket, err := c.js.KeyValue(ctx, c.cfg.Tracker.Bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return task.Record{}, c.missing("bucket", c.cfg.Tracker.Bucket)
	}
	if err != nil {
		return task.Record{}, fmt.Errorf("look for bucket %s: %w", c.cfg.Tracker.Bucket, err)
	}
	entry, err := bucket.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return task.Record{}, fmt.Errorf("no record of task %q: it still waits in the queue, was refused as invalid, "+
			"was forgotten some time after its end, or never was (capstan watch --all shows every event that is stored)", id)
	}
	if err != nil {
		return task.Record{}, fmt.Errorf("read record of task %s: %w", id, err)
	}
	return task.ParseRecord(entry.Value())
}

// event reads the event that a record names. It returns nil for a task that has none yet, and
// task.ErrNoEvent where the stream does not hold it any more.
func (c *client) event(ctx context.Context, rec task.Record) (*task.Event, error) {
	if !rec.State.Ended() {
		return nil, nil
	}
	stream, err := c.js.Stream(ctx, c.cfg.Result.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, task.ErrNoEvent
	}
	if err != nil {
		return nil, fmt.Errorf("look for stream %s: %w", c.cfg.Result.Stream, err)
	}
	msg, err := stream.GetMsg(ctx, rec.ResultSeq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, task.ErrNoEvent
	}
	if err != nil {
		return nil, fmt.Errorf("read event of task %s: %w", rec.TaskID, err)
	}
	ev, ok := readEvent(msg.Header, msg.Data)
	if !ok || ev.TaskID != rec.TaskID {
		return nil, task.ErrNoEvent // the stream was made anew
	}
	return &ev.Event, nil
}

// print shows the task as a list of names and values.
func (k known) print(t *terminal) error {
	row := func(name, format string, args ...any) {
		t.printf("%s  %s\n", t.paint(dim, fmt.Sprintf("%-9s", name)), fmt.Sprintf(format, args...))
	}
	at := func(name string, moment time.Time) {
		if !moment.IsZero() {
			row(name, "%s  %s", clock(moment), t.paint(dim, "+"+short(moment.Sub(k.Record.RequestedAt))))
		}
	}
	rec := k.Record
	row("task", "%s", t.paint(bold, oneLine(rec.TaskID, messageWidth)))
	row("state", "%s", t.paint(mood(rec.State), k.state()))
	row("owner", "%s, epoch %d", oneLine(rec.Owner, messageWidth), rec.Epoch)
	if rec.WorkflowID != "" {
		row("workflow", "%s", oneLine(rec.WorkflowID, messageWidth))
	}
	if rec.SessionID != "" {
		row("session", "%s", oneLine(rec.SessionID, messageWidth))
	}
	row("requested", "%s", clock(rec.RequestedAt))
	at("submitted", rec.SubmittedAt)
	at("finished", rec.FinishedAt)
	row("attempts", "%d", rec.Attempts)
	row("polls", "%d", rec.Polls)
	return k.printAnswer(t)
}

func (k known) state() string {
	switch {
	case k.Event != nil:
		return mark(*k.Event)
	case k.Record.State == task.Failed:
		return mark(task.Event{Error: &task.Error{Code: k.Record.ErrorCode}})
	default:
		return string(k.Record.State)
	}
}

// printAnswer prints what the event says: the result, or what went wrong and what the agent sent.
func (k known) printAnswer(t *terminal) error {
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
