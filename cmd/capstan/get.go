package main

import (
	"context"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// getCmd shows how far a task is, its record, and its event once it has ended. It reads what NATS has stored, so it works
// while all workers are stopped.
type getCmd struct {
	Task string `arg:"" help:"Task id."`
	JSON bool   `name:"json" help:"Print the state, the record and the event as JSON."`
}

// Help is printed below the flags.
func (*getCmd) Help() string {
	return `The state is queued (with the place in line), waiting, submitting, running, succeeded, failed, canceled, or refused.

Examples:

  capstan get ord-1842
  capstan get ord-1842 --json | jq .event.result`
}

// Run shows the task. It returns an error if there is no trace of the task. An event that has expired and a large result
// that cannot be fetched are only noted: the record is still worth showing. A task that failed is no error here.
func (g *getCmd) Run(ctx context.Context, t *terminal) error {
	if err := operator.CheckTaskID(g.Task); err != nil {
		return usageError{err}
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	found, err := c.queue().Find(ctx, g.Task, c.nextPoll)
	switch {
	case err != nil:
		return c.explain(ctx, err)
	case found.State == operator.Unknown:
		return errNoTrace(g.Task)
	case found.Record != nil && found.Record.State.Ended() && found.Event == nil:
		t.note("the event has expired from the stream")
	case found.Event != nil:
		if err := c.fetchResult(ctx, found.Event); err != nil {
			t.complain(err)
		}
	}
	if g.JSON {
		return t.printJSON(found)
	}
	return shownTask{found}.print(t)
}

// errNoTrace is the error for a task of which nothing is stored.
func errNoTrace(id string) error {
	return fmt.Errorf("no record of task %q, no event, and no queued request: it never existed, or it ended so long ago that both have expired", id)
}

// shownTask is a task as people see it.
type shownTask struct{ operator.Task }

// print shows the task as a list of names and values. Values that the task does not have yet are left out. Times are
// followed by their distance from the request.
func (s shownTask) print(t *terminal) error {
	t.row("task", "%s", bold(oneLine(s.ID, messageWidth)))
	color := colorOf(task.State(s.State))
	if s.Event != nil {
		color = colorOf(s.Event.Status)
	}
	t.row("state", "%s", color.Sprint(s.describe()))
	if s.Cancel != nil {
		t.row("mark", "%s", oneLine(s.Cancel.String(), messageWidth))
	}
	if !s.QueuedAt.IsZero() {
		t.row("queued", "%s", clock(s.QueuedAt))
	}
	if s.Record != nil {
		t.printRecord(*s.Record)
	}
	if !s.NextPoll.IsZero() {
		t.row("next poll", "%s", clock(s.NextPoll))
	}
	return s.printAnswer(t)
}

// row prints a name and its value.
func (t *terminal) row(name, format string, args ...any) {
	t.printf("%s  %s\n", faint(fmt.Sprintf("%-9s", name)), fmt.Sprintf(format, args...))
}

// printRecord prints what is worth knowing of a record.
func (t *terminal) printRecord(rec task.Record) {
	timeRow := func(name string, moment time.Time) {
		if !moment.IsZero() {
			t.row(name, "%s  %s", clock(moment), faint("+"+rounded(moment.Sub(rec.RequestedAt))))
		}
	}
	textRow := func(name, text string) {
		if text != "" {
			t.row(name, "%s", oneLine(text, messageWidth))
		}
	}
	textRow("batch", rec.Batch)
	textRow("host", rec.Host)
	t.row("owner", "%s, epoch %d", oneLine(rec.Owner, messageWidth), rec.Epoch)
	textRow("workflow", rec.WorkflowID)
	textRow("session", rec.SessionID)
	t.row("requested", "%s", clock(rec.RequestedAt))
	timeRow("submitted", rec.SubmittedAt)
	timeRow("finished", rec.FinishedAt)
	t.row("attempts", "%d", rec.Attempts)
	t.row("polls", "%d", rec.Polls)
	for i, run := range rec.Runs {
		t.row(fmt.Sprintf("run %d", i+1), "%s  %s", oneLine(string(run.Code), statusWidth), oneLine(run.WorkflowID, messageWidth))
	}
}

// describe is the state of the task, with what it waits for or the code of its failure. The event takes precedence. If it
// has expired, the code in the record is all that is left of it.
func (s shownTask) describe() string {
	switch {
	case s.State == operator.Refused:
		return "✗ refused: " + oneLine(string(s.Event.Error.Code), statusWidth)
	case s.Event != nil:
		return describeStatus(*s.Event)
	case s.State == operator.Queued:
		return fmt.Sprintf("queued, about %d in line", s.Position)
	case s.Record != nil && s.Record.State == task.Failed:
		return describeStatus(task.Event{Error: &task.Error{Code: s.Record.ErrorCode}})
	case s.Record != nil && s.Record.WaitsFor != "":
		return "waiting, " + oneLine(listDetail(operator.Entry{WaitsFor: s.Record.WaitsFor, WaitsUntil: s.Record.WaitsUntil}), messageWidth)
	default:
		return string(s.State)
	}
}

// printAnswer prints the result. For a failed task it prints the error and, if the agent sent anything, what it sent: that
// often shows why the task failed.
func (s shownTask) printAnswer(t *terminal) error {
	if s.Event == nil {
		return nil
	}
	t.printf("\n")
	result := s.Event.Result
	if s.Event.Error != nil {
		t.printf("%s\n", oneLine(s.Event.Error.Message, messageWidth))
		result = s.Event.RawResult
	}
	if result == nil {
		return nil
	}
	return t.printJSON(result)
}
