package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// listCmd lists tasks. It reads records and queued requests, and asks no worker.
type listCmd struct {
	State []string      `placeholder:"STATE" help:"Only tasks in these states: queued, waiting, submitting, running, succeeded or failed."`
	Code  []string      `placeholder:"CODE" help:"Only tasks that failed with these error codes."`
	Batch string        `placeholder:"NAME" help:"Only tasks of this batch."`
	Host  string        `placeholder:"HOST" help:"Only tasks whose start URL has this host."`
	Since time.Duration `placeholder:"DURATION" help:"Only tasks that changed in this time, for example 1h."`
	Limit int           `default:"50" placeholder:"N" help:"At most this many, the newest; 0 for all. Default: 50."`
	JSON  bool          `name:"json" help:"Print each task as JSON, one per line."`
}

// Help is printed below the flags.
func (*listCmd) Help() string {
	return `The newest come first. Requests that were refused are no tasks: capstan watch --all --code invalid_request shows them.

Examples:

  capstan list --state running
  capstan list --batch night --state failed --since 12h
  capstan list --code timeout,step_limit --limit 0 --json | jq -r .task_id`
}

// Run lists the tasks.
func (l *listCmd) Run(ctx context.Context, t *terminal) error {
	listing, err := l.listing()
	if err != nil {
		return usageError{err}
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	entries, complete, err := c.queue().List(ctx, listing)
	if err != nil {
		return c.explain(ctx, err)
	}
	if !complete {
		t.note("more than 200,000 requests are queued: only the newest of them were looked at")
	}
	if len(entries) == 0 {
		t.note("no task matches")
		return nil
	}
	if l.JSON {
		for _, e := range entries {
			if err := t.printJSONLine(e); err != nil {
				return err
			}
		}
		return nil
	}
	for _, line := range listLines(entries) {
		t.printf("%s\n", line)
	}
	return nil
}

// listing checks the flags.
func (l *listCmd) listing() (operator.Listing, error) {
	f := operator.Listing{Batch: l.Batch, Host: l.Host, Since: l.Since, Limit: l.Limit}
	for _, name := range l.State {
		f.States = append(f.States, operator.State(name))
		if err := checkOneOf("--state", name, operator.ListedStates()); err != nil {
			return f, err
		}
	}
	var err error
	if f.Codes, err = codesOf(l.Code); err != nil {
		return f, err
	}
	switch {
	case l.Since < 0:
		return f, fmt.Errorf("--since must be a duration above 0, such as 1h (got %v)", l.Since)
	case l.Limit < 0:
		return f, fmt.Errorf("--limit must be 0 or more (got %d)", l.Limit)
	case len(f.Codes) > 0 && len(f.States) > 0 && !slices.Contains(f.States, operator.State(task.Failed)):
		return f, fmt.Errorf("--code needs --state failed, or no --state: only tasks that failed have a code")
	}
	return f, nil
}

// codesOf returns error codes by their names. The error lists the known ones.
func codesOf(names []string) (codes []task.Code, err error) {
	for _, name := range names {
		if err := checkOneOf("--code", name, task.Codes()); err != nil {
			return nil, err
		}
		codes = append(codes, task.Code(name))
	}
	return codes, nil
}

// checkOneOf returns an error that lists the known names if name is none of them.
func checkOneOf[T ~string](flag, name string, known []T) error {
	if slices.Contains(known, T(name)) {
		return nil
	}
	names := make([]string, len(known))
	for i, k := range known {
		names[i] = string(k)
	}
	return fmt.Errorf("%s must be one of %s (got %q)", flag, strings.Join(names, ", "), oneLine(name, 80))
}

// Columns of a list, in columns of the terminal. A longer id is not cut.
const (
	listStateWidth = 24
	batchWidth     = 16
	hostWidth      = 32
)

// listLines returns a line for each task, with its parts aligned.
func listLines(entries []operator.Entry) []string {
	rows := make([][]string, len(entries))
	for i, e := range entries {
		rows[i] = []string{
			clock(e.ChangedAt), oneLine(e.ID, messageWidth), listState(e),
			oneLine(e.Batch, batchWidth), oneLine(e.Host, hostWidth), oneLine(listDetail(e), messageWidth),
		}
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], runewidth.StringWidth(cell))
		}
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		var cells []string
		for column, cell := range row {
			if widths[column] == 0 { // no task has it
				continue
			}
			cell = runewidth.FillRight(cell, widths[column])
			switch column {
			case 0:
				cell = faint(cell)
			case 2:
				cell = colorOf(task.State(entries[i].State)).Sprint(cell)
			}
			cells = append(cells, cell)
		}
		lines[i] = strings.TrimRight(strings.Join(cells, "  "), " ")
	}
	return lines
}

// listState is the state of a task, with the code of a failure.
func listState(e operator.Entry) string {
	switch e.State {
	case operator.State(task.Succeeded):
		return "✓ succeeded"
	case operator.State(task.Failed):
		return oneLine("✗ "+string(e.Code), listStateWidth)
	default:
		return "  " + string(e.State)
	}
}

// listDetail is how long a task ran, or what it waits for.
func listDetail(e operator.Entry) string {
	switch {
	case e.WaitsFor != "" && !e.WaitsUntil.IsZero():
		return fmt.Sprintf("waits for %s until %s", waitNames(e.WaitsFor), clock(e.WaitsUntil))
	case e.WaitsFor != "":
		return "waits for " + waitNames(e.WaitsFor)
	case !e.SubmittedAt.IsZero() && !e.FinishedAt.IsZero():
		return "ran " + rounded(e.FinishedAt.Sub(e.SubmittedAt))
	case !e.SubmittedAt.IsZero():
		return "runs since " + clock(e.SubmittedAt)
	default:
		return ""
	}
}

// waitNames says what a task waits for.
func waitNames(reason task.WaitReason) string {
	switch reason {
	case task.ForPause:
		return "the end of a pause"
	case task.ForRate:
		return "the rate limit"
	case task.ForPlan:
		return "a browser of the plan"
	case task.ForSlots:
		return "other submissions"
	case task.ForRetry:
		return "its next run"
	default:
		return string(reason)
	}
}
