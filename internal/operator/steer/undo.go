package steer

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/request"
	"github.com/capstan-worker/capstan/internal/task"
)

// UndoneTask says what a task was when its cancellation was taken back. The event of one that has ended stays.
type UndoneTask struct {
	CanceledTask
	Was           *task.Cancellation // nil: it was not canceled by its id
	CanceledBatch string             // the batch with which it is canceled still, or ""
}

// UndoCancel removes the marks of tasks. It returns them in the order of the ids, without repetitions. A worker that has seen a
// mark may have ended the task, or is about to. The error is as in Cancel; the marks of some tasks may be removed then.
func UndoCancel(ctx context.Context, q operator.Queue, ids []string) ([]UndoneTask, error) {
	stream, err := q.ControlStream(ctx)
	if err != nil {
		return nil, err
	}
	all, found, err := stagesOf(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	marked := map[string]bool{"": false} // by batch
	var undone []UndoneTask
	for _, each := range all {
		u := UndoneTask{CanceledTask: each}
		batch := batchOf(found, each.TaskID)
		if _, isKnown := marked[batch]; !isKnown {
			mark, _, err := q.CancellationIn(ctx, stream, control.CancelBatchPrefix+batch)
			if err != nil {
				return undone, err
			}
			marked[batch] = mark != nil
		}
		if marked[batch] {
			u.CanceledBatch = batch
		}
		if u.Was, err = unmark(ctx, q, stream, control.CancelPrefix+each.TaskID); err != nil {
			return undone, err
		}
		undone = append(undone, u)
	}
	return undone, nil
}

// batchOf returns the batch of a task, or "" if it has none.
func batchOf(found *operator.Tasks, id string) string {
	if rec, ok := found.Records[id]; ok {
		return rec.Batch
	}
	return found.Queued[id].Batch
}

// UndoCancelBatch removes the mark of a batch and returns it, or nil if there was none. Tasks that have ended stay as they are.
// The error is as in Cancel.
func UndoCancelBatch(ctx context.Context, q operator.Queue, batch string) (*task.Cancellation, error) {
	if err := request.CheckBatch(batch); err != nil {
		return nil, err
	}
	stream, err := q.ControlStream(ctx)
	if err != nil {
		return nil, err
	}
	return unmark(ctx, q, stream, control.CancelBatchPrefix+batch)
}

// unmark removes the mark with a key and returns it, or nil if there was none. stream is that of Queue.ControlStream.
func unmark(ctx context.Context, q operator.Queue, stream jetstream.Stream, key string) (*task.Cancellation, error) {
	return remove(ctx, q, key, func() (*task.Cancellation, uint64, error) { return q.CancellationIn(ctx, stream, key) })
}
