package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/request"
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
	if err := request.CheckTaskID(g.Task); err != nil {
		return usageError{err}
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	found, err := inspect.Find(ctx, c.queue(), g.Task, c.nextPoll)
	switch {
	case err != nil:
		return c.explain(ctx, err)
	case found.State == inspect.Unknown:
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

// shownTask is a task as people see it, or as awk does.
type shownTask struct{ inspect.Task }

// print shows the task as a list of names and values. Values that the task does not have yet are left out. On a terminal,
// times are followed by their distance from the request.
func (s shownTask) print(t *terminal) error {
	color := colorOf(task.State(s.State))
	if s.Event != nil {
		color = colorOf(s.Event.Status)
	}
	paint := func(text string) string { return color.Sprint(text) }
	t.paintedRow("task", t.room().cell(s.ID), bold)
	if t.room().isTerminal() {
		t.paintedRow("state", s.describe(), paint)
	} else {
		s.printState(t)
	}
	if s.Cancel != nil {
		t.row("mark", s.Cancel.String())
	}
	t.timeRow("queued", s.QueuedAt, time.Time{})
	if s.Record != nil {
		t.printRecord(*s.Record)
	}
	s.printSession(t)
	t.timeRow("next poll", s.NextPoll, time.Time{})
	return s.printAnswer(t)
}

// printState prints what describe says in rows of their own, so that the state is one word.
func (s shownTask) printState(t *terminal) {
	t.row("state", string(s.State))
	switch {
	case s.Event != nil && s.Event.Error != nil:
		t.row("code", string(s.Event.Error.Code))
	case s.Record != nil && s.Record.State == task.Failed:
		t.row("code", string(s.Record.ErrorCode))
	case s.State == inspect.Queued:
		t.row("position", fmt.Sprint(s.Position))
	case s.Record != nil && s.Record.WaitsFor != "":
		t.row("reason", s.waits(room{}))
	}
}

// printRecord prints what is worth knowing of a record.
func (t *terminal) printRecord(rec task.Record) {
	t.row("batch", rec.Batch)
	t.row("host", rec.Host)
	t.row("owner", fmt.Sprintf("%s, epoch %d", rec.Owner, rec.Epoch))
	t.row("workflow", rec.WorkflowID)
	t.timeRow("requested", rec.RequestedAt, time.Time{})
	t.timeRow("submitted", rec.SubmittedAt, rec.RequestedAt)
	t.timeRow("finished", rec.FinishedAt, rec.RequestedAt)
	t.row("attempts", fmt.Sprint(rec.Attempts))
	t.row("polls", fmt.Sprint(rec.Polls))
	for i, run := range rec.Runs {
		t.row(fmt.Sprintf("run %d", i+1), runText(run, t.room()))
	}
}

// runText is why a run failed and its workflow and, if it had a browser session, that and what it used.
func runText(run task.Run, r room) string {
	text := r.cell(string(run.Code)) + " " + r.cell(run.WorkflowID)
	if run.SessionID == "" {
		return text
	}
	session := inspect.SessionOf(run)
	return fmt.Sprintf("%s %s %s steps %s credits", text, r.cell(session.ID), cmp.Or(session.StepsText(), "-"), cmp.Or(session.CreditsText(), "-"))
}

// printSession prints the browser session of the task, and what the task used.
func (s shownTask) printSession(t *terminal) {
	session := s.Session()
	t.row("session", session.ID)
	t.row("browser", session.EndText())
	t.row("steps", session.StepsText())
	t.row("credits", session.CreditsText())
}

// describe is the state of the task for people, with what it waits for or the code of its failure. The event takes
// precedence. If it has expired, the code in the record is all that is left of it.
func (s shownTask) describe() string {
	switch {
	case s.State == inspect.Refused:
		return "✗ refused: " + oneLine(string(s.Event.Error.Code), statusWidth)
	case s.Event != nil:
		return describeStatus(*s.Event)
	case s.State == inspect.Queued:
		return fmt.Sprintf("queued, about %d in line", s.Position)
	case s.Record != nil && s.Record.State == task.Failed:
		return describeStatus(task.Event{Error: &task.Error{Code: s.Record.ErrorCode}})
	case s.Record != nil && s.Record.WaitsFor != "":
		return "waiting, " + s.waits(room{columns: leastColumns})
	default:
		return string(s.State)
	}
}

// waits says what a task with a record waits for.
func (s shownTask) waits(r room) string {
	return detailText(inspect.Entry{WaitsFor: s.Record.WaitsFor, WaitsUntil: s.Record.WaitsUntil}, r)
}

// printAnswer prints the result. For a failed task it prints the error and, if the agent sent anything, what it sent: that
// often shows why the task failed. JSON is neither cut nor wrapped, so that it stays what was sent.
func (s shownTask) printAnswer(t *terminal) error {
	if s.Event == nil {
		return nil
	}
	t.printf("\n")
	result := s.Event.Result
	if s.Event.Error != nil {
		t.paragraph(s.Event.Error.Message)
		result = s.Event.RawResult
	}
	if result == nil {
		return nil
	}
	return t.printJSON(result)
}
