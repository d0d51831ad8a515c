package steer

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/request"
	"github.com/capstan-worker/capstan/internal/operator/send"
	"github.com/capstan-worker/capstan/internal/task"
)

// Stage is how far a task has come when it is canceled.
type Stage string

// The stages.
const (
	StageUnseen  Stage = "never seen" // there is no request and no record of it
	StageQueued  Stage = "queued"     // no worker has taken it
	StageWaiting Stage = "waiting"    // a worker has it and has not submitted it
	StageRunning Stage = "running"    // it was submitted
	StageEnded   Stage = "ended"
)

// CanceledTask says what a task was when it was canceled. An ended task is not canceled.
type CanceledTask struct {
	TaskID string
	Stage  Stage
	Code   task.Code // of an ended task that failed
}

// Cancel marks tasks, so that the workers end them. It returns them in the order of the ids, without repetitions, once all
// marks are confirmed. A task that has ended gets no mark. One that was never seen does: its request may come. The error
// is an *operator.MissingError if there is no bucket for the marks: Cancel creates nothing.
func Cancel(ctx context.Context, q operator.Queue, ids []string, why task.Cancellation) ([]CanceledTask, error) {
	if _, err := q.ControlStream(ctx); err != nil {
		return nil, err
	}
	all, _, err := stagesOf(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	var marks []string
	for _, each := range all {
		if each.Stage != StageEnded {
			marks = append(marks, control.CancelPrefix+each.TaskID)
		}
	}
	return all, mark(ctx, q, marks, why)
}

// stagesOf returns how far tasks have come, in the order of their ids, without repetitions, and what was found of them.
func stagesOf(ctx context.Context, q operator.Queue, ids []string) ([]CanceledTask, *operator.Tasks, error) {
	wanted := map[string]bool{}
	var all []CanceledTask
	for _, id := range ids {
		if err := request.CheckTaskID(id); err != nil {
			return nil, nil, err
		}
		if !wanted[id] {
			wanted[id] = true
			all = append(all, CanceledTask{TaskID: id})
		}
	}
	found, err := q.TasksOf(ctx, wanted)
	if err != nil {
		return nil, nil, fmt.Errorf("look for the tasks: %w", err)
	}
	for i, each := range all {
		all[i].Stage, all[i].Code = stageOf(found, each.TaskID)
	}
	return all, found, nil
}

// stageOf returns how far a task has come, and the code of one that failed.
func stageOf(found *operator.Tasks, id string) (Stage, task.Code) {
	rec, ok := found.Records[id]
	if !ok {
		if _, ok := found.Queued[id]; ok {
			return StageQueued, ""
		}
		return StageUnseen, ""
	}
	switch {
	case rec.State.Ended():
		return StageEnded, rec.ErrorCode
	case rec.State == task.Waiting:
		return StageWaiting, ""
	default:
		return StageRunning, ""
	}
}

// CanceledBatch says how many tasks of a batch were canceled, by their stage; there is none that has ended. Until the mark
// expires, a new task of the batch is canceled, too.
type CanceledBatch struct {
	Stages  map[Stage]int
	Ended   int // tasks of the batch that had ended
	Expires time.Time
}

// CancelBatch marks a batch, so that the workers end its tasks. It counts them first. The error is as in Cancel.
func CancelBatch(ctx context.Context, q operator.Queue, batch string, why task.Cancellation) (CanceledBatch, error) {
	c := CanceledBatch{Stages: map[Stage]int{}}
	if err := request.CheckBatch(batch); err != nil {
		return c, err
	}
	if _, err := q.ControlStream(ctx); err != nil {
		return c, err
	}
	found, err := q.TasksOfBatch(ctx, batch)
	if err != nil {
		return c, fmt.Errorf("look for the tasks of batch %s: %w", batch, err)
	}
	for id := range found.Records {
		if stage, _ := stageOf(found, id); stage == StageEnded {
			c.Ended++
		} else {
			c.Stages[stage]++
		}
	}
	if len(found.Queued) > 0 {
		c.Stages[StageQueued] = len(found.Queued)
	}
	c.Expires = found.Now.Add(q.Config.Tracker.TTL)
	return c, mark(ctx, q, []string{control.CancelBatchPrefix + batch}, why)
}

// mark writes the keys of cancellations and returns when all are confirmed. They expire with the memory of the tasks.
func mark(ctx context.Context, q operator.Queue, keys []string, why task.Cancellation) error {
	value, err := json.Marshal(why)
	if err != nil {
		return fmt.Errorf("write the reason: %w", err)
	}
	all, err := send.All(ctx, q, len(keys), func(_ context.Context, i int) (*nats.Msg, error) {
		return message(q, keys[i], value, q.Config.Tracker.TTL), nil
	}, nil)
	if err != nil {
		return fmt.Errorf("%d of %d marks are stored; write the others to bucket %s: %w", all.Counts().Stored, len(keys), q.Config.Control.Bucket, err)
	}
	return nil
}
