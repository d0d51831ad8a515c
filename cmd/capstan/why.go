package main

import (
	"context"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/request"
)

// whyCmd says why a task waits, runs or has failed.
type whyCmd struct {
	Task string `arg:"" help:"Task id."`
}

// Help is printed below the flags.
func (*whyCmd) Help() string {
	return `It says what the task waits for, and when it will probably begin or end. For a task that failed it says why, and what
to do.

Example:

  capstan why ord-1842`
}

// Run prints the sentences. It fails if there is no trace of the task.
func (w *whyCmd) Run(ctx context.Context, t *terminal) error {
	if err := request.CheckTaskID(w.Task); err != nil {
		return usageError{err}
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	text, found, err := inspect.Why(ctx, c.queue(), w.Task, c.nextPoll)
	if err != nil {
		return c.explain(ctx, err)
	}
	if found.State == inspect.Unknown {
		return errNoTrace(w.Task)
	}
	t.paragraph(text)
	return nil
}
