package publisher

import (
	"context"
	"errors"

	"github.com/capstan-worker/capstan/internal/task"
)

// Find searches for an event that tells how a request was answered, or how the task with its id ended. It looks at
// those that were stored since an hour before the request. answered reports that the event answers this request, also as a
// refusal or a replay. Otherwise it is of another request with the same task id, whose content may differ: of several, one
// with this digest of the content, and else the newest. The error is task.ErrNoEvent if there is none.
//
// The event has no result, metadata or texts: thousands of callers may search at once, and an event can be as large as a
// message.
func (p *Publisher) Find(ctx context.Context, d task.Delivery, taskID, digest string) (ev task.Event, seq uint64, answered bool, err error) {
	own := perRequestID(taskID, d)
	// The newest comes first.
	seqs, err := p.search(ctx, d.Stored.Add(-task.CopiesWithin), p.index.messageKey(own), p.index.messageKey(taskID), p.index.taskKey(taskID))
	if err != nil {
		return task.Event{}, 0, false, err
	}
	other, otherSeq := task.Event{}, uint64(0)
	for _, seq := range seqs {
		stored, id, err := p.readEvent(ctx, seq, true)
		switch {
		case errors.Is(err, task.ErrNoEvent), err == nil && (stored.TaskID != taskID || !stored.Status.Ended()):
			// It no longer exists, or is another task's or another program's.
		case err != nil:
			return task.Event{}, 0, false, err
		case id == own || stored.RequestedAt.Equal(d.Stored):
			return stored, seq, true, nil
		case stored.RefusesRequest():
			// It ended no task.
		case otherSeq == 0, stored.Digest == digest && other.Digest != digest:
			other, otherSeq = stored, seq
		}
	}
	if otherSeq == 0 {
		return task.Event{}, 0, false, task.ErrNoEvent
	}
	return other, otherSeq, false, nil
}

// verdictOf returns the parts of an event that a record keeps.
func verdictOf(ev *task.Event) task.Event {
	verdict := task.Event{
		TaskID: ev.TaskID, Status: ev.Status, WorkflowID: ev.WorkflowID, RequestedAt: ev.RequestedAt, SubmittedAt: ev.SubmittedAt,
		FinishedAt: ev.FinishedAt, Attempts: ev.Attempts, Polls: ev.Polls, Digest: ev.Digest,
		SessionID: ev.SessionID, SessionEnded: ev.SessionEnded, Steps: ev.Steps, Credits: ev.Credits,
	}
	if ev.Error != nil {
		verdict.Error = &task.Error{Code: ev.Error.Code, Retryable: ev.Error.Retryable}
	}
	return verdict
}
