package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/request"
	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

// cancelCmd ends tasks: by their ids, or all of a batch.
type cancelCmd struct {
	Tasks  []string `arg:"" optional:"" name:"task" help:"Task ids."`
	Batch  string   `placeholder:"NAME" help:"Cancel all tasks of this batch, and those that are submitted to it later."`
	Reason string   `placeholder:"TEXT" help:"The reason, which the events of the tasks repeat."`
}

// Help is printed below the flags.
func (*cancelCmd) Help() string {
	return `A task that was not submitted never will be. A running one ends with the code canceled at once, but its
workflow at Anchor may run on. A task that has ended stays as it is.

Examples:

  capstan cancel ord-1842 ord-1843 --reason "wrong customer"
  capstan cancel --batch night`
}

// Run cancels the tasks and says what each of them was.
func (cmd *cancelCmd) Run(ctx context.Context, t *terminal) error {
	switch {
	case len(cmd.Tasks) == 0 && cmd.Batch == "":
		return usageError{errors.New("give the ids of tasks, or --batch NAME")}
	case len(cmd.Tasks) > 0 && cmd.Batch != "":
		return usageError{errors.New("give the ids of tasks or --batch, not both")}
	}
	for _, id := range cmd.Tasks {
		if err := request.CheckTaskID(id); err != nil {
			return usageError{err}
		}
	}
	if cmd.Batch != "" {
		if err := request.CheckBatch(cmd.Batch); err != nil {
			return usageError{fmt.Errorf("--batch: %w", err)}
		}
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	why := task.Cancellation{Reason: cmd.Reason, By: userName(), At: time.Now().UTC().Truncate(time.Second)}
	if cmd.Batch != "" {
		return cmd.cancelBatch(ctx, t, c, why)
	}
	canceled, err := steer.Cancel(ctx, c.queue(), cmd.Tasks, why)
	for _, each := range canceled {
		if err == nil {
			printCanceled(t, each)
		}
	}
	return c.explain(ctx, err)
}

// cancelBatch cancels a batch and says how many tasks that ends.
func (cmd *cancelCmd) cancelBatch(ctx context.Context, t *terminal, c *client, why task.Cancellation) error {
	b, err := steer.CancelBatch(ctx, c.queue(), cmd.Batch, why)
	if err != nil {
		return c.explain(ctx, err)
	}
	unfinished := 0
	for _, n := range b.Stages {
		unfinished += n
	}
	t.printf("batch %s is canceled: %s will end (%d queued, %d waiting, %d running), %d had ended\n", cmd.Batch, taskCount(unfinished),
		b.Stages[steer.StageQueued], b.Stages[steer.StageWaiting], b.Stages[steer.StageRunning], b.Ended)
	if unfinished+b.Ended == 0 {
		t.note("capstan: no task of batch %s was ever seen; check the name", cmd.Batch)
	}
	t.note("tasks that are submitted to batch %s until %s are canceled as well", cmd.Batch, b.Expires.Local().Format(time.DateTime))
	return nil
}

// printCanceled says what a task was.
func printCanceled(t *terminal, c steer.CanceledTask) {
	switch c.Stage {
	case steer.StageEnded:
		status := describeStatus(task.Event{Status: task.Succeeded})
		if c.Code != "" {
			status = describeStatus(task.Event{Error: &task.Error{Code: c.Code}})
		}
		t.printf("%s  ended before (%s), nothing to cancel\n", taskCell(c.TaskID), status)
	case steer.StageUnseen:
		t.printf("%s  never seen; it is canceled if its request comes\n", taskCell(c.TaskID))
		t.note("capstan: no request and no record of task %s; check the id", c.TaskID)
	case steer.StageRunning:
		t.printf("%s  running, canceled; its workflow may run on\n", taskCell(c.TaskID))
	case steer.StageQueued, steer.StageWaiting:
		t.printf("%s  %s, canceled\n", taskCell(c.TaskID), c.Stage)
	}
}

// userName is who gives the command, as far as the system knows.
func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return os.Getenv("USER")
}
