package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
)

// refreshTime is the time between two looks of status --watch.
const refreshTime = 2 * time.Second

// statusCmd shows how far the queue or a batch is. It reads NATS only. The workers are asked, too, but nothing depends on
// their answers.
type statusCmd struct {
	Batch string `placeholder:"NAME" help:"Only the tasks of this batch."`
	Watch bool   `help:"Look again every two seconds, until Ctrl-C."`
	JSON  bool   `name:"json" help:"Print the status as JSON; with --watch one document per line."`
}

// Help is printed below the flags.
func (*statusCmd) Help() string {
	return `The times of "done" come from the tasks that ended lately.

Examples:

  capstan status
  capstan status --batch night --watch
  capstan status --json | jq .done.at`
}

// Run shows the status once, or until ctx ends.
func (s *statusCmd) Run(ctx context.Context, t *terminal) error {
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	view := inspect.NewView(c.queue(), s.Batch)
	if !s.Watch {
		status, err := view.Status(ctx)
		if err != nil {
			return c.explain(ctx, err)
		}
		return s.print(t, status, &screen{t: t})
	}
	connected, stop := c.whileConnected(ctx)
	defer stop()
	return s.watch(connected, t, c, view)
}

// watch shows the status until ctx ends. A look that fails is noted, and the next one may succeed: NATS may be away.
func (s *statusCmd) watch(ctx context.Context, t *terminal, c *client, view *inspect.View) error {
	shown := &screen{t: t, redraws: t.redraws() && !s.JSON}
	tick := time.NewTicker(refreshTime)
	defer tick.Stop()
	for first := true; ; first = false {
		status, err := view.Status(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && first:
			return c.explain(ctx, err)
		case err != nil:
			shown.forget()
			t.complain(c.explain(ctx, err))
		default:
			if err := s.print(t, status, shown); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// print prints a status.
func (s *statusCmd) print(t *terminal, status inspect.Status, shown *screen) error {
	switch {
	case s.JSON && s.Watch:
		return t.printJSONLine(status)
	case s.JSON:
		return t.printJSON(status)
	default:
		shown.show(statusLines(status, t.room()))
		return nil
	}
}

// redraws reports whether lines that were printed can be replaced.
func (t *terminal) redraws() bool { return t.size != nil && canRedraw(os.Stdout) }

// screen shows lines in the place of those that it has shown before or, if it cannot redraw, below them.
type screen struct {
	t       *terminal
	redraws bool
	lines   int  // that stand there now
	room    room // in which they were drawn
	shown   bool
}

// show shows lines. If it redraws, it leaves out the last ones of those for which the terminal has too few rows. After a
// change of the terminal's size nobody knows where the old lines are, so it clears the screen.
func (s *screen) show(lines []string) {
	var text strings.Builder
	r := s.t.room()
	if s.redraws && r.isTerminal() && len(lines) >= r.rows {
		lines = lines[:max(1, r.rows-1)]
	}
	switch {
	case s.redraws && s.lines > 0 && r != s.room:
		text.WriteString("\x1b[H\x1b[2J") // to the upper left corner, and clear all
	case s.redraws && s.lines > 0:
		fmt.Fprintf(&text, "\x1b[%dA\x1b[J", s.lines) // up, and clear what is below
	case s.shown && !s.redraws:
		text.WriteString("\n")
	}
	for _, line := range lines {
		text.WriteString(line + "\n")
	}
	s.lines, s.room, s.shown = len(lines), r, true
	s.t.printf("%s", text.String())
}

// forget leaves what is shown: another line was printed below it.
func (s *screen) forget() { s.lines = 0 }
