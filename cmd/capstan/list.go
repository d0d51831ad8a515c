package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// listCmd lists tasks. It reads records and queued requests, and asks no worker.
type listCmd struct {
	State []string      `placeholder:"STATE" predictor:"state" help:"Only tasks in these states: queued, waiting, submitting, running, succeeded, failed, or canceled (failed with this code)."`
	Code  []string      `placeholder:"CODE" predictor:"code" help:"Only tasks that failed with these error codes."`
	Batch string        `placeholder:"NAME" help:"Only tasks of this batch."`
	Host  string        `placeholder:"HOST" help:"Only tasks whose start URL has this host."`
	Since time.Duration `placeholder:"DURATION" help:"Only tasks that changed in this time, for example 1h."`
	Limit int           `default:"50" placeholder:"N" help:"At most this many, the newest; 0 for all. Default: 50."`
	JSON  bool          `name:"json" help:"Print each task as JSON, one per line."`
}

// Help is printed below the flags.
func (*listCmd) Help() string {
	return `The newest come first. Requests that were refused are no tasks: capstan watch --all --code invalid_request shows them.

A terminal shows what fits into its width. A pipe gets all of it, in these columns: time, id, state, code, batch, host,
worker, and how long the task ran or what it waits for. A dash stands for an empty one.

Examples:

  capstan list --state running
  capstan list --batch night --state failed --since 12h
  capstan list --limit 0 | awk '$3 == "running" { print $2, $7 }'
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
	if l.Limit > 0 {
		listing.Limit++ // to know whether there are more
	}
	entries, complete, err := inspect.List(ctx, c.queue(), listing)
	if err != nil {
		return c.explain(ctx, err)
	}
	if !complete {
		t.note("more than 200,000 requests are queued: only the newest of them were looked at")
	}
	if len(entries) == 0 {
		t.note("no task matches")
		if slices.Contains(listing.Codes, task.InvalidRequest) || slices.Contains(listing.Codes, task.DuplicateTask) {
			t.note("a request that was refused is no task: capstan watch --all --code %s prints the events of such requests", strings.Join(l.Code, ","))
		}
		return nil
	}
	if l.Limit > 0 && len(entries) > l.Limit {
		entries = entries[:l.Limit]
		defer t.note("these are the newest %d; --limit 0 lists all", l.Limit)
	}
	return l.print(t, entries)
}

// print prints the tasks.
func (l *listCmd) print(t *terminal, entries []inspect.Entry) error {
	if !l.JSON {
		for _, line := range listLines(entries, t.room()) {
			t.printf("%s\n", line)
		}
		return nil
	}
	for _, e := range entries {
		if err := t.printJSONLine(e); err != nil {
			return err
		}
	}
	return nil
}

// listing checks the flags.
func (l *listCmd) listing() (inspect.Listing, error) {
	f := inspect.Listing{Batch: l.Batch, Host: l.Host, Since: l.Since, Limit: l.Limit}
	for _, name := range l.State {
		f.States = append(f.States, inspect.State(name))
		if err := checkOneOf("--state", name, statesToList()); err != nil {
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
	case len(f.Codes) > 0 && len(f.States) > 0 && !slices.Contains(f.States, inspect.State(task.Failed)):
		return f, fmt.Errorf("--code needs --state failed, or no --state: only tasks that failed have a code")
	}
	return f, nil
}

// statesToList returns the states by which tasks can be listed.
func statesToList() []inspect.State { return append(inspect.ListedStates(), inspect.Canceled) }

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
	return fmt.Errorf("%s must be one of %s (got %s)", flag, strings.Join(names, ", "), quoted(name))
}

// The columns of a list.
const (
	timeColumn = iota
	idColumn
	stateColumn
	batchColumn
	hostColumn
	workerColumn
	detailColumn
)

// listLines returns a line for each task, with its parts aligned. A terminal that is not wide enough for all has no column for
// the worker, a narrower one none for the batch either, and so on; the id and the state are always there.
func listLines(entries []inspect.Entry, r room) []string {
	if !r.isTerminal() {
		return plainListLines(entries)
	}
	all := table{room: r, key: idColumn, columns: []column{
		timeColumn:   {rank: 3, least: len(time.DateTime), paint: func(_ int, text string) string { return faint(text) }},
		idColumn:     {rank: 1},
		stateColumn:  {rank: 2, least: statusWidth, paint: func(i int, text string) string { return colorOf(task.State(entries[i].State)).Sprint(text) }},
		batchColumn:  {rank: 6, least: 8},
		hostColumn:   {rank: 5, least: 12},
		workerColumn: {rank: 7, least: 8},
		detailColumn: {rank: 4, least: 12},
	}}
	for _, e := range entries {
		all.rows = append(all.rows, []string{
			r.clock(e.ChangedAt), r.cell(e.ID), stateText(e), r.cell(e.Batch), r.cell(e.Host), r.cell(e.Owner), printable(detailText(e, r)),
		})
	}
	return all.lines()
}

// plainListLines returns a line for each task, for programs: the time, the id, the state, the code, the batch, the host, the
// worker, and what a task waits for or how long it ran. Only the last one may consist of several words.
func plainListLines(entries []inspect.Entry) []string {
	all := table{columns: make([]column, detailColumn+2)}
	var r room
	for _, e := range entries {
		all.rows = append(all.rows, []string{
			r.clock(e.ChangedAt), r.cell(e.ID), r.cell(string(e.State)), r.cell(string(e.Code)), r.cell(e.Batch), r.cell(e.Host), r.cell(e.Owner),
			cmp.Or(printable(detailText(e, r)), "-"),
		})
	}
	return all.lines()
}

// longestState is the width of a state that is not cut. A newer worker may use codes that are longer than those of this
// version.
const longestState = 24

// stateText is the state of a task, with the code of a failure.
func stateText(e inspect.Entry) string {
	switch e.State {
	case inspect.State(task.Succeeded):
		return "✓ succeeded"
	case inspect.State(task.Failed):
		return oneLine("✗ "+string(e.Code), longestState)
	default:
		return "  " + printable(string(e.State))
	}
}

// detailText is how long a task ran, or what it waits for.
func detailText(e inspect.Entry, r room) string {
	switch {
	case e.WaitsFor != "" && !e.WaitsUntil.IsZero():
		return fmt.Sprintf("waits for %s until %s", waitNames(e.WaitsFor), r.clock(e.WaitsUntil))
	case e.WaitsFor != "":
		return "waits for " + waitNames(e.WaitsFor)
	case !e.SubmittedAt.IsZero() && !e.FinishedAt.IsZero():
		return "ran " + rounded(e.FinishedAt.Sub(e.SubmittedAt))
	case !e.SubmittedAt.IsZero():
		return "runs since " + r.clock(e.SubmittedAt)
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
