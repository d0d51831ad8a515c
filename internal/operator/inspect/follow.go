package inspect

import (
	"context"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// batchLook is the time between two looks at a batch.
	batchLook = time.Second

	// mostFailures is how many looks may fail in a row while NATS is connected.
	mostFailures = 3
)

// BatchEnd is how a batch has ended.
type BatchEnd struct {
	Tasks  int // that are known: by a queued request, by a record, or by an event
	Failed int // of these, also the requests that were refused
}

// FollowBatch calls note with each event from a place on, also with those of other batches, and returns when all known tasks
// of the batch have ended and their events were read. A task that is added while others run is known as well. It returns at
// once if no task is known. Outages of NATS do not end it.
func FollowBatch(ctx context.Context, q operator.Queue, batch string, from jetstream.OrderedConsumerConfig, note func(operator.Event)) (BatchEnd, error) {
	f := &batchFollower{
		q: q, batch: batch, records: q.Records(nil), backlog: q.Backlog(), events: q.Events(from), note: note, tasks: map[string]batchTask{},
	}
	tick := time.NewTicker(batchLook)
	defer tick.Stop()
	for failures := 0; ; {
		isDone, err := f.look(ctx)
		switch {
		case ctx.Err() != nil:
			return BatchEnd{}, ctx.Err()
		case err == nil:
			failures = 0
		case f.looks == 0 || operator.IsMissing(err) || failures == mostFailures:
			return BatchEnd{}, err
		case q.Conn.IsConnected():
			failures++
		}
		if isDone {
			return f.end(), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return BatchEnd{}, ctx.Err()
		}
	}
}

// batchFollower is what is known of the tasks of a batch.
type batchFollower struct {
	q       operator.Queue
	batch   string
	records *operator.Records
	backlog *operator.Backlog
	events  *operator.Events
	note    func(operator.Event)
	tasks   map[string]batchTask // by id
	refused int                  // requests that were refused
	looks   int                  // that succeeded
}

// batchTask is a task of a batch.
type batchTask struct {
	stored        time.Time // when its request was stored, as long as that is all that is known
	ended, failed bool
}

// look looks once, and reports whether the batch is done.
func (f *batchFollower) look(ctx context.Context) (isDone bool, err error) {
	// First what is open, then the events: an event is stored before its record ends and before its request goes.
	complete, err := f.lookAtTasks(ctx)
	if err != nil {
		return false, err
	}
	err = f.events.Read(ctx, func(ev operator.Event) {
		f.noteEvent(ev)
		f.note(ev)
	})
	if err != nil && !operator.IsMissing(err) { // a stream that is missing has no events
		return false, err
	}
	f.looks++
	return complete && f.allEnded(), nil
}

// lookAtTasks notes the requests without a record and the records of the batch. complete is false if there were too many
// requests, or if those that workers have taken were not looked at: that takes many calls, so it is left out as long as
// tasks are open anyway.
func (f *batchFollower) lookAtTasks(ctx context.Context) (complete bool, err error) {
	l, err := f.q.Line(ctx)
	if err != nil {
		return false, err
	}
	if complete, err = f.backlog.Refresh(ctx, l); err != nil {
		return false, err
	}
	if err := f.records.Refresh(ctx, l.Now); err != nil {
		return false, err
	}
	f.noteRequests(f.backlog.Of(f.batch))
	for id, r := range f.records.All {
		if r.Batch == f.batch && !f.tasks[id].ended {
			f.tasks[id] = batchTask{ended: r.State.Ended(), failed: r.State == task.Failed}
		}
	}
	if !f.allEnded() {
		return false, nil
	}
	taken, err := f.q.Taken(ctx, l, maps.Values(f.records.All), 1)
	f.noteRequests(taken)
	return complete, err
}

// noteRequests notes the tasks of requests of the batch that have no record.
func (f *batchFollower) noteRequests(all []operator.Request) {
	for _, r := range all {
		if _, isKnown := f.tasks[r.TaskID]; !isKnown && r.Batch == f.batch {
			f.tasks[r.TaskID] = batchTask{stored: r.Stored}
		}
	}
}

// noteEvent notes the task of an event. A refusal is that of a request: another task may have its id.
func (f *batchFollower) noteEvent(ev operator.Event) {
	switch known, ok := f.tasks[ev.TaskID]; {
	case ev.Batch != f.batch:
	case !ev.RefusesRequest():
		f.tasks[ev.TaskID] = batchTask{ended: true, failed: ev.Status == task.Failed}
	default:
		f.refused++
		if isThis := !known.stored.IsZero() && !ev.RequestedAt.Before(known.stored); ok && isThis {
			delete(f.tasks, ev.TaskID)
		}
	}
}

// allEnded reports whether all known tasks have ended.
func (f *batchFollower) allEnded() bool {
	for _, t := range f.tasks {
		if !t.ended {
			return false
		}
	}
	return true
}

// end counts how the tasks have ended.
func (f *batchFollower) end() BatchEnd {
	end := BatchEnd{Tasks: len(f.tasks) + f.refused, Failed: f.refused}
	for _, t := range f.tasks {
		if t.failed {
			end.Failed++
		}
	}
	return end
}
