package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// When the bucket of records is deleted and created again, a running task has no record until its worker writes it
// again, and a task whose worker died has none at all. A worker that finds no record must not run such a task a second
// time. So for a while after the bucket was created, it does not take a task without a record for a new one.

const (
	// restoreTime is how long a worker waits for the record of a task after the bucket was created. The other workers
	// check the bucket every two seconds.
	restoreTime = 5 * time.Second

	// createdTogether is the largest age difference of the request stream and a bucket that were created for the first
	// time: then there were no earlier runs.
	createdTogether = 2 * time.Second

	// How old the answer may be that says when the bucket was created: for a first delivery, and where an earlier record may
	// have been lost.
	firstMaxAge, laterMaxAge = time.Second, 50 * time.Millisecond
)

// restoreWait returns how long the bucket is still so new that the record of a running task may not have been written
// again; 0 or less if it is not. The answer that says when it was created may be as old as maxAge.
func (r *run) restoreWait(ctx context.Context, maxAge time.Duration) time.Duration {
	created, recreated, err := r.bucketCreated(ctx, maxAge)
	if err != nil || !recreated { // an error means that ctx has ended
		return 0
	}
	return min(restoreTime, created.Add(restoreTime).Sub(r.cfg.Clock.Now()))
}

// recordMayBeLost reports whether the task may have had a record although there is none: the bucket was created after
// the request was stored.
func (r *run) recordMayBeLost(ctx context.Context) (bool, error) {
	maxAge := firstMaxAge
	if r.req.Delivery.Deliveries > 1 {
		maxAge = laterMaxAge
	}
	created, recreated, err := r.bucketCreated(ctx, maxAge)
	return recreated && created.After(r.req.Delivery.Stored), err
}

// endedRecord returns the record of a task that has ended, as far as its stored event tells. The error is
// task.ErrNoEvent if none was stored since the request. NATS can forget that a request was delivered or acknowledged, so
// this may be the request of the event, or a copy that came with it.
func (r *run) endedRecord(ctx context.Context, first task.Record) (task.Record, error) {
	ev, seq, err := r.Publisher.Find(ctx, first.TaskID, first.RequestedAt)
	if err != nil {
		return first, err
	}
	if !ev.RequestedAt.Equal(first.RequestedAt) {
		first.RequestSeq, first.RequestedAt = 0, ev.RequestedAt // of a request that is not known
	}
	first.WorkflowID, first.SubmittedAt, first.Attempts = ev.WorkflowID, ev.SubmittedAt, ev.Attempts
	return first.Finished(ev, seq), nil
}

// awaitOthers returns task.ErrNotOwner if another worker has a task that this one has not submitted. Two workers have one
// request when NATS has forgotten a delivery, and then only the record tells which of them may submit it. So before the
// lost record is written again, the other one has its time to do that. If it has finished the task, the request is gone.
func (r *run) awaitOthers(ctx context.Context, rec task.Record) error {
	_, err := r.Requests.StoredAt(ctx, r.req.Delivery.Seq)
	if errors.Is(err, task.ErrNoRequest) {
		return task.ErrNotOwner
	}
	if err != nil {
		return err
	}
	if err := sleep(ctx, r.restoreWait(ctx, laterMaxAge)); err != nil {
		return err
	}
	found, err := r.Tracker.Get(ctx, rec.TaskID)
	switch {
	case errors.Is(err, task.ErrNoRecord), err == nil && found.Precedes(rec):
		return nil
	case err == nil:
		return task.ErrNotOwner
	default:
		return err
	}
}

// bucketCreated returns when the bucket of records was created, as of an answer that is no older than maxAge, and
// whether there may have been a bucket before.
func (r *run) bucketCreated(ctx context.Context, maxAge time.Duration) (created time.Time, recreated bool, err error) {
	created, err = r.Tracker.Created(ctx, maxAge)
	return created, created.Sub(r.Requests.Created(ctx)) > createdTogether, err
}

// asUnknown returns the first record of a task that an earlier delivery may have submitted. Nothing more is submitted for
// it: the one repetition that its request may allow can have been used as well.
func asUnknown(first task.Record) task.Record {
	first.State, first.Attempts, first.ErrorCode = task.Submitting, 1, task.SubmissionUnknown
	return first
}
