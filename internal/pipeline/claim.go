package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

const (
	// patience bounds how long a new task waits for a slot before it gets a record. With a slot its first record
	// already says submitting: one write less than for a task that was waiting before.
	patience = time.Second

	// longestPost bounds how long this worker waits for another worker's submission.
	longestPost = 10 * time.Minute
)

// claim writes this worker into the task's record and returns the record. done means that the request is answered and
// needs only its acknowledgement. The error is task.ErrNotOwner if another worker has the task.
//
// Each turn of the loop reads the record and decides by it. A turn that learns something about the record without
// writing it notes the record's revision, so that the next turn skips that case.
func (r *run) claim(ctx context.Context) (_ *task.Record, done bool, _ error) {
	d := &r.req.Delivery
	var orphan, overdue uint64 // revisions of a record whose request is not stored, and whose submission is over
	for first := d.Deliveries <= 1; ; first = false {
		rec, err := r.find(ctx, first)
		mine := rec.BelongsTo(*d)
		switch {
		case errors.Is(err, task.ErrNoRecord):
			// It is a new task, or its record was lost.
			rec, found, err := r.begin(ctx)
			if err != nil || found != recordChanged {
				return rec, found == taskAnswered, err
			}
		case err != nil:
			// The record cannot be read, or a worker of a newer version has the task.
			return rec, false, err
		case !mine && rec.Digest != r.req.Digest:
			// Another request with other content has used the task id.
			return rec, true, r.refuseDuplicate(ctx, "was already used by a request with different content; choose another id")
		case !mine && rec.State.Ended():
			// It is a copy of a request whose task has ended: its event is published again.
			return rec, true, r.replay(ctx, rec)
		case rec.State.Ended():
			// The event is stored: only the acknowledgement was lost.
			return rec, true, nil
		case !mine && rec.Revision != orphan:
			// It is a copy of a request whose task runs: both share one event. If an operator has removed the other
			// request, this one takes its place, or the task would have no event.
			stored, err := r.isStored(ctx, rec)
			if stored {
				r.log.Info().Str("task", rec.TaskID).Msg("duplicate of a running task, both share one event")
			}
			if stored || err != nil {
				return rec, stored, err
			}
			orphan = rec.Revision
		case rec.State == task.Submitting && rec.Revision != overdue:
			// The owner died in the middle of the submission, or is alive and about to record the answer.
			if overdue, err = r.awaitOwner(ctx, rec); err != nil {
				return rec, false, err
			}
		default:
			// The owner died, or lost its lease: this worker takes the task over from where the record says it is.
			rec, err = r.takeOver(ctx, rec)
			return rec, false, err
		}
	}
}

// find reads the task's record. A first delivery almost never has one, so find does not ask for it.
func (r *run) find(ctx context.Context, first bool) (*task.Record, error) {
	if first {
		return &task.Record{}, task.ErrNoRecord
	}
	rec, err := r.Tracker.Get(ctx, r.req.TaskID)
	if errors.Is(err, task.ErrNewerRecord) {
		r.log.Warn().Str("task", r.req.TaskID).Msg("record of a newer version left alone")
	}
	return &rec, err
}

// beginning is what begin finds.
type beginning int

const (
	taskBegan     beginning = iota // the task is new, and this run has created its record
	taskAnswered                   // the request has its event, and needs only its acknowledgement
	recordChanged                  // there may be a record by now, so it must be read
)

// begin creates the record of a task that has none. If the record may have been lost, begin looks for the task's event
// first.
func (r *run) begin(ctx context.Context) (*task.Record, beginning, error) {
	first, found, err := r.firstRecord(ctx)
	if err != nil || found == taskAnswered {
		return &first, found, err
	}
	rec, err := r.createChecked(ctx, first)
	if err == nil {
		r.log.Debug().Str("task", rec.TaskID).Str("state", string(rec.State)).Bool("record_lost", rec.UnknownOnce()).Msg("task began")
		return rec, found, nil
	}
	r.releaseSlot(task.ErrNotSubmitted)
	switch {
	case errors.Is(err, task.ErrRecordExists):
		return rec, recordChanged, nil
	case errors.Is(err, task.ErrBucketRecreated):
		// The owner of a lost record has some time to write it again.
		wait := r.restoreWait(ctx, r.beginAfter(), firstMaxAge)
		r.log.Info().Str("task", r.req.TaskID).Stringer("for", wait.Round(time.Second)).
			Msg("waiting because the bucket of records is new: another worker may write the task's record again")
		return rec, recordChanged, timer.Sleep(ctx, wait, nil)
	default:
		return rec, taskBegan, err
	}
}

// firstRecord returns the first record of the task: submitting if it gets a slot soon, else waiting. If an event says that
// the task has ended, it returns the record of its end, which is to be read like one that was not lost.
func (r *run) firstRecord(ctx context.Context) (task.Record, beginning, error) {
	d := &r.req.Delivery
	first := task.Record{
		TaskID: r.req.TaskID, State: task.Waiting, Owner: r.cfg.Worker, Epoch: 1,
		RequestSeq: d.Seq, RequestedAt: d.Stored, Digest: r.req.Digest, SessionID: r.req.SessionID,
		Batch: r.req.Batch, Host: r.req.Host,
	}
	lost, err := r.recordLoss(ctx)
	if err != nil {
		return first, taskBegan, err
	}
	if lost != notLost {
		ended, found, err := r.endedRecord(ctx, first, lost)
		if err != nil || found != taskBegan {
			return ended, found, err
		}
	}
	if lost == maybeSubmitted {
		return asUnknown(first), taskBegan, nil
	}
	if r.acquireAtOnce(ctx) {
		return r.asSubmitting(first), taskBegan, nil
	}
	first.WaitsFor, first.WaitsUntil = r.Admission.Waits()
	return first, taskBegan, nil
}

// acquireAtOnce reports whether the task has a slot soon and can be submitted, so that its first record may say so. A
// cancellation does not shorten the wait, but is noticed after it.
func (r *run) acquireAtOnce(ctx context.Context) bool {
	if _, canceled := r.canceled(ctx); canceled || r.createsSession() { // the session is created after the first record
		return false
	}
	if r.acquireSlot(ctx, 0, patience, nil) != nil {
		return false
	}
	if verdict, _ := r.unfit(ctx, &task.Record{}, nil); verdict != nil {
		r.releaseSlot(task.ErrNotSubmitted)
		return false
	}
	return true
}

// createChecked creates the record, unless something has happened while the run waited for its slot. While other workers
// may still write lost records, it creates only that of a task whose own event is stored: the event of another request
// with the same task id does not say that this request's task has ended.
func (r *run) createChecked(ctx context.Context, first task.Record) (*task.Record, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case r.req.Delivery.LostLease():
		return nil, task.ErrNotOwner
	case (!first.State.Ended() || first.RequestSeq == 0) && r.restoreWait(ctx, r.beginAfter(), firstMaxAge) > 0:
		return nil, task.ErrBucketRecreated
	default:
		return r.create(ctx, first)
	}
}

// isStored reports whether the request that a record names is still stored.
func (r *run) isStored(ctx context.Context, rec *task.Record) (bool, error) {
	stored, err := r.Requests.StoredAt(ctx, rec.RequestSeq)
	if errors.Is(err, task.ErrNoRequest) {
		return false, nil
	}
	if err != nil || !stored.Equal(rec.RequestedAt) {
		return false, err
	}
	return true, nil
}

// awaitOwner watches a record that was found in the middle of a submission. It returns the record's revision when the
// submission is over, by the record and after OwnerGrace: then its outcome is unknown. It returns 0 when the record has
// changed.
func (r *run) awaitOwner(ctx context.Context, found *task.Record) (overdue uint64, err error) {
	grace := r.cfg.OwnerGrace
	if found.PostUntil.IsZero() { // an older version wrote it
		grace = max(grace, r.cfg.PostTimeout)
	} else {
		grace = max(grace, min(found.PostUntil.Sub(r.cfg.Clock.Now()), longestPost))
	}
	recount := r.uncount(ctx)
	const checks = 20
	for range checks {
		if err := timer.Sleep(ctx, grace/checks, nil); err != nil {
			return 0, err
		}
		rec, err := r.Tracker.Get(ctx, found.TaskID)
		if err != nil || rec.Revision != found.Revision {
			recount()
			return 0, ctx.Err() // claim reads it again and decides
		}
	}
	recount()
	return found.Revision, nil
}

// takeOver writes this worker and the next epoch into a record.
func (r *run) takeOver(ctx context.Context, found *task.Record) (*task.Record, error) {
	if err := ctx.Err(); err != nil {
		return found, err
	}
	next := *found
	next.Owner = r.cfg.Worker
	next.Epoch++
	next.RequestSeq, next.RequestedAt = r.req.Delivery.Seq, r.req.Delivery.Stored
	// Unlike save, this never writes over a record that was not found: its owner may be alive, and this run has no claim
	// to the task yet.
	began := r.moment()
	rec, err := r.Tracker.Save(context.WithoutCancel(ctx), next)
	if errors.Is(err, task.ErrRecordLost) {
		err = task.ErrNotOwner
	}
	if err != nil {
		return &rec, err
	}
	r.saw(began, certainFor)
	if now := r.cfg.Clock.Now(); now.Sub(found.UpdatedAt) < contestedFor {
		r.contested = now
	}
	r.metrics.takeovers.Inc()
	r.log.Info().Str("task", rec.TaskID).Str("workflow", rec.WorkflowID).Str("state", string(rec.State)).
		Str("from", found.Owner).Uint64("epoch", rec.Epoch).Msg("task taken over")
	return &rec, nil
}

// replay publishes the event of an ended task once more. If the event has expired, the request is refused: running the
// task a second time needs another id.
func (r *run) replay(ctx context.Context, rec *task.Record) error {
	err := r.Publisher.Replay(context.WithoutCancel(ctx), r.req.Delivery, rec.TaskID, rec.ResultSeq)
	if errors.Is(err, task.ErrNoEvent) {
		return r.refuseDuplicate(ctx, fmt.Sprintf("ended as %s at %s and its event is no longer stored; choose another id to run it again",
			rec.State, rec.FinishedAt.Format(time.RFC3339)))
	}
	if err != nil {
		return err
	}
	r.log.Info().Str("task", rec.TaskID).Msg("event published again for a repeated request")
	return nil
}
