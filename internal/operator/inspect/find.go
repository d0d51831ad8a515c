package inspect

import (
	"context"
	"errors"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// NextPoll asks the workers when they poll the workflow of a task again. It returns the zero time if none says so.
type NextPoll func(ctx context.Context, id string) time.Time

// Finder finds tasks.
type Finder struct {
	Queue    operator.Queue
	NextPoll NextPoll // may be nil

	// Queued finds the request of a task that no worker has taken, and its place in line; nil if there is none.
	Queued func(ctx context.Context, id string) (*operator.Request, int, error)
}

// Find returns what is stored about a task: of one without a trace, its State is Unknown. nextPoll may be nil. A request
// that is queued is searched for among the first 200,000.
//
// The error is an *operator.MissingError if there is neither a bucket of records nor a stream of requests.
func Find(ctx context.Context, q operator.Queue, id string, nextPoll NextPoll) (Task, error) {
	return Finder{q, nextPoll, q.FindQueued}.Find(ctx, id)
}

// Find finds a task as the function Find does, and its queued request as f says.
func (f Finder) Find(ctx context.Context, id string) (Task, error) {
	rec, err := f.Queue.Record(ctx, id)
	if err == nil && rec == nil {
		var found Task
		if found, err = f.withoutRecord(ctx, id); err != nil || found.State != Unknown {
			return found, err
		}
		rec, err = f.Queue.Record(ctx, id) // a worker may have taken the request meanwhile
	}
	switch {
	case err != nil:
		return Task{}, err
	case rec == nil:
		return Task{ID: id, State: Unknown}, nil
	default:
		return f.ofRecord(ctx, *rec)
	}
}

// ofRecord returns a task that has a record.
func (f Finder) ofRecord(ctx context.Context, rec task.Record) (Task, error) {
	t := Task{ID: rec.TaskID, State: State(rec.State), Record: &rec}
	if rec.State == task.Submitting || rec.State == task.Running {
		t.LiveView = task.Secret(rec.LiveView)
	}
	rec.LiveView = ""
	if !rec.State.Ended() {
		t.Cancel, _ = f.Queue.Cancellation(ctx, rec.TaskID, rec.Batch) // the record is worth showing without it
		if rec.State == task.Running && f.NextPoll != nil {
			t.NextPoll = f.NextPoll(ctx, rec.TaskID)
		}
		return t, nil
	}
	if rec.ErrorCode == task.Canceled {
		t.State = Canceled
	}
	var err error
	if t.Event, err = f.Queue.EventAt(ctx, rec.TaskID, rec.ResultSeq); errors.Is(err, task.ErrNoEvent) {
		err = nil
	}
	return t, err
}

// withoutRecord returns a task that is queued, or was refused.
func (f Finder) withoutRecord(ctx context.Context, id string) (Task, error) {
	t := Task{ID: id, State: Unknown}
	request, position, err := f.Queued(ctx, id)
	if err != nil && !operator.IsMissing(err) {
		return t, err
	}
	if request != nil {
		t.State, t.Position, t.QueuedAt = Queued, position, request.Stored
		t.Cancel, _ = f.Queue.Cancellation(ctx, id, request.Batch) // its place is worth showing without it
		return t, nil
	}
	ev, err := f.Queue.LastEventOf(ctx, id)
	switch {
	case errors.Is(err, task.ErrNoEvent):
		return t, nil
	case err != nil:
		return t, err
	}
	t.Event = ev
	switch {
	case ev.RefusesRequest():
		t.State = Refused
	case ev.Error != nil && ev.Error.Code == task.Canceled:
		t.State = Canceled
	default: // its record has expired
		t.State = State(ev.Status)
	}
	return t, nil
}
