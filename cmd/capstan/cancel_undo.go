package main

import (
	"context"

	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

// undo takes cancellations back, and says of each task what that changes. It is no error if there was nothing to take back.
func (cmd *cancelCmd) undo(ctx context.Context, t *terminal, c *client) error {
	if cmd.Batch != "" {
		was, err := steer.UndoCancelBatch(ctx, c.queue(), cmd.Batch)
		switch {
		case err != nil:
			return c.explain(ctx, err)
		case was == nil:
			t.note("batch %s was not canceled", cmd.Batch)
		default:
			t.printf("batch %s is no longer canceled; it was %s\n", cmd.Batch, oneLine(was.String(), messageWidth))
			t.note("tasks that it has ended stay as they are; capstan redrive --batch %s --code canceled shows which of them can be run again", cmd.Batch)
		}
		return nil
	}
	undone, err := steer.UndoCancel(ctx, c.queue(), cmd.Tasks)
	for _, each := range undone {
		t.printf("%s  %s\n", taskCell(each.TaskID), undoneText(each))
	}
	return c.explain(ctx, err)
}

// undoneText says what became of a task whose cancellation was taken back.
func undoneText(u steer.UndoneTask) string {
	switch {
	case u.Stage == steer.StageEnded && u.CanceledBatch != "":
		return "has ended (" + endText(u.CanceledTask) + "); its batch is still canceled: capstan cancel --batch " + u.CanceledBatch + " --undo takes that back"
	case u.Stage == steer.StageEnded && u.Code == task.Canceled:
		return "has ended (" + endText(u.CanceledTask) + "); capstan redrive --task " + u.TaskID + " shows whether it can be run again"
	case u.Stage == steer.StageEnded:
		return "has ended (" + endText(u.CanceledTask) + ")"
	case u.CanceledBatch != "":
		return "is still canceled, with its batch; capstan cancel --batch " + u.CanceledBatch + " --undo takes that back"
	case u.Was == nil:
		return "was not canceled"
	case u.Stage == steer.StageRunning || u.Stage == steer.StageWaiting:
		return "is no longer canceled, unless its worker is ending it already"
	default:
		return "is no longer canceled"
	}
}
