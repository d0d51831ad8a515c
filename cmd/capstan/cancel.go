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

// cancelCmd ends tasks: by their ids, or all of a batch. cancel_undo.go takes that back.
type cancelCmd struct {
	Tasks  []string `arg:"" optional:"" name:"task" help:"Task ids."`
	Batch  string   `placeholder:"NAME" help:"Cancel all tasks of this batch, and those that are submitted to it later."`
	Reason string   `placeholder:"TEXT" help:"The reason, which the events of the tasks repeat."`
	Undo   bool     `help:"Take a cancellation back. Tasks that have already ended stay as they are."`
}

// Help is printed below the flags.
func (*cancelCmd) Help() string {
	return `A task that was not submitted never will be. A running one ends with the code canceled at once, but its
workflow at Anchor may run on. A task that has ended stays as it is.

Examples:

  capstan cancel ord-1842 ord-1843 --reason "wrong customer"
  capstan cancel --batch night
  capstan cancel --batch night --undo`
}

// Run cancels the tasks and says what each of them was.
func (cmd *cancelCmd) Run(ctx context.Context, t *terminal) error {
	if err := cmd.check(); err != nil {
		return usageError{err}
	}
	c, err := connect()
	if err != nil {
		return err
	}
	defer c.nc.Close()
	if cmd.Undo {
		return cmd.undo(ctx, t, c)
	}
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

// check returns what is wrong with the arguments.
func (cmd *cancelCmd) check() error {
	switch {
	case len(cmd.Tasks) == 0 && cmd.Batch == "":
		return errors.New("give the ids of tasks, or --batch NAME")
	case len(cmd.Tasks) > 0 && cmd.Batch != "":
		return errors.New("give the ids of tasks or --batch, not both")
	case cmd.Undo && cmd.Reason != "":
		return errors.New("--reason has no effect with --undo: leave it out")
	}
	for _, id := range cmd.Tasks {
		if err := request.CheckTaskID(id); err != nil {
			return err
		}
	}
	if cmd.Batch != "" {
		if err := request.CheckBatch(cmd.Batch); err != nil {
			return fmt.Errorf("--batch: %w", err)
		}
	}
	return nil
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
	if b.Stages[steer.StageQueued] > 0 {
		t.note("queued tasks are never submitted; each ends when it is its turn in the queue")
	}
	t.note("tasks that are submitted to batch %s or run again until %s are canceled as well; to take that back: capstan cancel --batch %s --undo",
		cmd.Batch, b.Expires.Local().Format(time.DateTime), cmd.Batch)
	return nil
}

// printCanceled says what a task was.
func printCanceled(t *terminal, canceled steer.CanceledTask) {
	id := taskCell(canceled.TaskID)
	switch canceled.Stage {
	case steer.StageEnded:
		t.printf("%s  ended before (%s), nothing to cancel\n", id, endText(canceled))
	case steer.StageUnseen:
		t.printf("%s  never seen; it is canceled if its request comes\n", id)
		t.note("capstan: no request and no record of task %s; check the id. To take that back: capstan cancel %s --undo", canceled.TaskID, canceled.TaskID)
	case steer.StageRunning:
		t.printf("%s  running, canceled; its workflow may run on\n", id)
	case steer.StageQueued, steer.StageWaiting:
		t.printf("%s  %s, canceled\n", id, canceled.Stage)
	}
}

// endText is how a task ended, for people.
func endText(ended steer.CanceledTask) string {
	if ended.Code == "" {
		return describeStatus(task.Event{Status: task.Succeeded})
	}
	return describeStatus(task.Event{Error: &task.Error{Code: ended.Code}})
}

// userName is who gives the command, as far as the system knows.
func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return os.Getenv("USER")
}
