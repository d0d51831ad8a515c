package operator

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// State is how far a task has come, as an operator sees it: a state of its record, or one of these.
type State string

// The states that no record has.
const (
	Queued   State = "queued"   // no worker has taken its request
	Canceled State = "canceled" // it ended because it was canceled
	Refused  State = "refused"  // its request broke a rule: it has an event and no record
	Unknown  State = "unknown"  // there is no trace of it
)

// Task is everything that is stored about a task. Its JSON is public: names are never changed.
type Task struct {
	ID       string       `json:"task_id"`
	State    State        `json:"state"`
	Position int          `json:"position,omitzero"` // Queued: about its place in line, from 1 on
	QueuedAt time.Time    `json:"queued_at,omitzero"`
	Record   *task.Record `json:"record,omitempty"`
	Event    *task.Event  `json:"event,omitempty"` // nil until the task has ended, and after the event has expired

	// Cancel is the mark by which the task is canceled, if it has not ended yet.
	Cancel   *task.Cancellation `json:"cancel,omitempty"`
	NextPoll time.Time          `json:"next_poll,omitzero"` // Running: if a worker says so
}

// NextPoll asks the workers when they poll the workflow of a task again. It returns the zero time if none says so.
type NextPoll func(ctx context.Context, id string) time.Time

// Find returns what is stored about a task: of one without a trace, its State is Unknown. nextPoll may be nil. A request
// that is queued is searched for among the first 200,000.
//
// The error is a *MissingError if there is neither a bucket of records nor a stream of requests.
func (q Queue) Find(ctx context.Context, id string, nextPoll NextPoll) (Task, error) {
	rec, err := q.record(ctx, id)
	if err == nil && rec == nil {
		var found Task
		if found, err = q.findWithoutRecord(ctx, id); err != nil || found.State != Unknown {
			return found, err
		}
		rec, err = q.record(ctx, id) // a worker may have taken the request meanwhile
	}
	switch {
	case err != nil:
		return Task{}, err
	case rec == nil:
		return Task{ID: id, State: Unknown}, nil
	default:
		return q.ofRecord(ctx, *rec, nextPoll)
	}
}

// record reads the record of a task, or returns nil if there is none.
func (q Queue) record(ctx context.Context, id string) (*task.Record, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := q.Config.Tracker.Bucket
	stream, err := q.stream(asking, "bucket", name, jet.BucketStream(name))
	if err != nil {
		return nil, err
	}
	msg, err := stream.GetLastMsgForSubject(asking, jet.BucketSubject(name, id))
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && jet.IsDeleted(msg) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read record of task %s: %w", id, q.explain(err))
	}
	rec, err := task.ParseRecord(msg.Data)
	if err != nil {
		return nil, fmt.Errorf("task %s: %w", id, err)
	}
	return &rec, nil
}

// ofRecord returns a task that has a record.
func (q Queue) ofRecord(ctx context.Context, rec task.Record, nextPoll NextPoll) (Task, error) {
	t := Task{ID: rec.TaskID, State: State(rec.State), Record: &rec}
	if !rec.State.Ended() {
		t.Cancel, _ = q.cancellation(ctx, rec.TaskID, rec.Batch) // the record is worth showing without it
		if rec.State == task.Running && nextPoll != nil {
			t.NextPoll = nextPoll(ctx, rec.TaskID)
		}
		return t, nil
	}
	if rec.ErrorCode == task.Canceled {
		t.State = Canceled
	}
	var err error
	if t.Event, err = q.eventAt(ctx, rec.TaskID, rec.ResultSeq); errors.Is(err, task.ErrNoEvent) {
		err = nil
	}
	return t, err
}

// findWithoutRecord returns a task that is queued, or was refused.
func (q Queue) findWithoutRecord(ctx context.Context, id string) (Task, error) {
	t := Task{ID: id, State: Unknown}
	request, position, err := q.findQueued(ctx, id)
	if err != nil && !isMissing(err) {
		return t, err
	}
	if request != nil {
		t.State, t.Position, t.QueuedAt = Queued, position, request.stored
		t.Cancel, _ = q.cancellation(ctx, id, request.Batch) // its place is worth showing without it
		return t, nil
	}
	ev, err := q.lastEventOf(ctx, id)
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

// findQueued searches the requests that no worker has taken for one of a task, and returns its place in line. It returns nil
// if there is none among the first ones.
func (q Queue) findQueued(ctx context.Context, id string) (*queuedRequest, int, error) {
	l, err := q.line(ctx)
	if err != nil {
		return nil, 0, err
	}
	first, last := l.delivered+1, min(l.last, l.delivered+mostRequests)
	if seq := q.sequenceIn(id); seq >= first && seq <= l.last { // only this request can have the id
		first, last = seq, seq
	}
	for ; first <= last; first += requestChunk {
		chunk, err := q.requestsBetween(ctx, first, min(last, first+requestChunk-1))
		if err != nil {
			return nil, 0, err
		}
		for _, r := range chunk {
			if r.TaskID == id {
				return &r, l.place(r.seq), nil
			}
		}
	}
	return nil, 0, nil
}

// sequenceIn returns the sequence of the request whose default id this is, or 0.
func (q Queue) sequenceIn(id string) uint64 {
	number, ok := strings.CutPrefix(id, q.Config.Request.Stream+"-")
	if !ok {
		return 0
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0
	}
	return seq
}
