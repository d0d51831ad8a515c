package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/jet"
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
// is a *MissingError if there is no bucket for the marks: Cancel creates nothing.
func (q Queue) Cancel(ctx context.Context, ids []string, why task.Cancellation) ([]CanceledTask, error) {
	if _, err := q.controlStream(ctx); err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	var all []CanceledTask
	for _, id := range ids {
		if err := CheckTaskID(id); err != nil {
			return nil, err
		}
		if !wanted[id] {
			wanted[id] = true
			all = append(all, CanceledTask{TaskID: id})
		}
	}
	found, err := q.tasksOf(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("look for the tasks: %w", err)
	}
	var marks []string
	for i, each := range all {
		all[i].Stage, all[i].Code = stageOf(found, each.TaskID)
		if all[i].Stage != StageEnded {
			marks = append(marks, control.CancelPrefix+each.TaskID)
		}
	}
	return all, q.mark(ctx, marks, why)
}

// stageOf returns how far a task has come, and the code of one that failed.
func stageOf(found *tasks, id string) (Stage, task.Code) {
	rec, ok := found.records[id]
	if !ok {
		if _, ok := found.queued[id]; ok {
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
func (q Queue) CancelBatch(ctx context.Context, batch string, why task.Cancellation) (CanceledBatch, error) {
	c := CanceledBatch{Stages: map[Stage]int{}}
	if err := CheckBatchName(batch); err != nil {
		return c, err
	}
	if _, err := q.controlStream(ctx); err != nil {
		return c, err
	}
	found, err := q.findBatch(ctx, batch)
	if err != nil {
		return c, fmt.Errorf("look for the tasks of batch %s: %w", batch, err)
	}
	for id := range found.records {
		if stage, _ := stageOf(found, id); stage == StageEnded {
			c.Ended++
		} else {
			c.Stages[stage]++
		}
	}
	if len(found.queued) > 0 {
		c.Stages[StageQueued] = len(found.queued)
	}
	c.Expires = found.now.Add(q.Config.Tracker.TTL)
	return c, q.mark(ctx, []string{control.CancelBatchPrefix + batch}, why)
}

// findBatch returns what NATS has of the tasks of a batch.
func (q Queue) findBatch(ctx context.Context, batch string) (*tasks, error) {
	found := &tasks{queued: map[string]queuedRequest{}}
	var err error
	found.records, err = q.recordsThat(ctx, func(rec task.Record) bool { return rec.Batch == batch })
	if err != nil && !isMissing(err) {
		return nil, err
	}
	found.now, err = q.queued(ctx, func(r queuedRequest) {
		if _, hasRecord := found.records[r.TaskID]; r.Batch == batch && !hasRecord {
			found.keep(r)
		}
	})
	return found, err
}

// controlStream returns the stream behind the bucket by which the workers are steered. It is an error if workers do not
// use the bucket either, because it is another application's.
func (q Queue) controlStream(ctx context.Context) (jetstream.Stream, error) {
	bucket := q.Config.Control
	s, err := q.stream(ctx, "bucket", bucket.Bucket, bucket.Stream())
	if err != nil {
		return nil, err
	}
	if why := bucket.Refusal(s.CachedInfo().Config); why != "" {
		return nil, fmt.Errorf("bucket %s %s", bucket.Bucket, why)
	}
	return s, nil
}

// mark writes the keys of cancellations and returns when all are confirmed. They expire with the memory of the tasks.
func (q Queue) mark(ctx context.Context, keys []string, why task.Cancellation) error {
	value, err := json.Marshal(why)
	if err != nil {
		return fmt.Errorf("write the reason: %w", err)
	}
	all, err := q.sendAll(ctx, len(keys), func(_ context.Context, i int) (*nats.Msg, error) {
		return q.controlMessage(keys[i], value, q.Config.Tracker.TTL), nil
	}, nil)
	if err != nil {
		return fmt.Errorf("%d of %d marks are stored; write the others to bucket %s: %w", all.counts().Stored, len(keys), q.Config.Control.Bucket, err)
	}
	return nil
}

// controlMessage returns the message that writes a key of the bucket by which the workers are steered.
func (q Queue) controlMessage(key string, value []byte, ttl time.Duration) *nats.Msg {
	msg := &nats.Msg{Subject: jet.BucketWriteSubject(q.Config.NATS.JSDomain, q.Config.Control.Bucket, key), Header: nats.Header{}, Data: value}
	msg.Header.Set(jetstream.ExpectedStreamHeader, q.Config.Control.Stream())
	msg.Header.Set(jetstream.MsgTTLHeader, max(ttl, time.Second).Round(time.Second).String())
	return msg
}
