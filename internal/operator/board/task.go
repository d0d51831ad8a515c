package board

import (
	"context"
	"errors"
	"fmt"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/deadletter"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// Why explains a task to a reader as inspect.Why does, and reads only the task itself: everything else is as of the last Refresh. A
// request that is queued is looked for only among those that the board knows.
func (b *Board) Why(ctx context.Context, id string, nextPoll inspect.NextPoll, r inspect.Reader) (string, inspect.Task, error) {
	snapshot := b.Snapshot()
	find := inspect.Finder{Queue: b.q, NextPoll: nextPoll, Queued: func(_ context.Context, id string) (*operator.Request, int, error) {
		r := queuedIn(snapshot, id)
		if r == nil {
			return nil, 0, nil
		}
		return r, snapshot.Line.Place(r.Seq), nil
	}}
	found, err := find.Find(ctx, id)
	if err != nil {
		return "", found, err
	}
	return snapshot.Explain(found, r), found, nil
}

// queuedIn returns the request of a task that no worker has taken, or nil.
func queuedIn(s *inspect.Snapshot, id string) *operator.Request {
	for i := range s.Queued {
		if s.Queued[i].TaskID == id {
			return &s.Queued[i]
		}
	}
	return nil
}

// Request returns the request of a task with the values of secret_values redacted: that of a task which has not ended, or
// the one in the dead letter of a task that failed. The error is operator.ErrNoRequest if neither is stored, or if its
// secrets cannot be told from the rest.
func (b *Board) Request(ctx context.Context, t inspect.Task) ([]byte, error) {
	body, err := b.q.RequestAt(ctx, t.ID, b.sequenceOf(t))
	if errors.Is(err, operator.ErrNoRequest) {
		body, err = b.deadRequest(ctx, t.ID)
	}
	if err != nil {
		return nil, err
	}
	redacted, isKept := task.RedactRequest(body)
	if !isKept {
		return nil, operator.ErrNoRequest
	}
	return redacted, nil
}

// sequenceOf returns the sequence of the request of a task, or 0.
func (b *Board) sequenceOf(t inspect.Task) uint64 {
	if t.Record != nil {
		return t.Record.RequestSeq
	}
	if r := queuedIn(b.Snapshot(), t.ID); r != nil {
		return r.Seq
	}
	return 0
}

// deadRequest reads the request in the newest dead letter of a task.
func (b *Board) deadRequest(ctx context.Context, id string) ([]byte, error) {
	base, _ := deadletter.SplitRun(id)
	b.mu.RLock()
	known, ok := b.letters[base]
	b.mu.RUnlock()
	if !ok || known.TaskID != id {
		return nil, operator.ErrNoRequest
	}
	msg, err := b.q.MessageAt(ctx, b.q.Config.Dead.Stream, known.Seq)
	if err != nil {
		return nil, fmt.Errorf("read the dead letter of task %s: %w", id, err)
	}
	l := deadletter.Parse(msg)
	if l == nil || l.TaskID != id { // it has expired, or the stream was recreated
		return nil, operator.ErrNoRequest
	}
	body, err := l.Request(ctx, b.q)
	if lost, isLost := errors.AsType[deadletter.NotKeptError](err); isLost {
		return nil, fmt.Errorf("%w: %w", operator.ErrNoRequest, lost)
	}
	return body, err
}
