package pipeline

import (
	"context"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// When the bucket of records is deleted and created again, a task that runs has no record until its worker writes it
// again, and a task whose worker died has none for ever. A worker that found no record would run such a task a second
// time. So, for a while after the bucket was created, a task without a record is not taken for a new one at once.

const (
	// restoreTime is how long after the creation of the bucket a worker waits for the record of a task. The other
	// workers check the bucket every two seconds.
	restoreTime = 5 * time.Second

	// createdTogether is how much younger than the request stream the bucket is when both were created for the first
	// time: then there are no earlier runs.
	createdTogether = 2 * time.Second

	// How old the answer may be that says when the bucket was created: for a first delivery, and for one that follows
	// another.
	createdMaxAge, createdMaxAgeAgain = time.Second, 50 * time.Millisecond
)

// awaitRestored waits while the bucket of records is so young that the record of a task that runs may not have been
// written again. It reports whether it waited.
func (r *run) awaitRestored(ctx context.Context) (waited bool, err error) {
	created, recreated, err := r.bucketCreated(ctx, createdMaxAge)
	if err != nil || !recreated {
		return false, err
	}
	wait := created.Add(restoreTime).Sub(r.cfg.Clock.Now())
	if wait <= 0 {
		return false, nil
	}
	return true, sleep(ctx, min(wait, restoreTime))
}

// recordMayBeLost reports whether an earlier delivery of the request may have submitted the task although there is no
// record: the bucket was created after the request was stored.
func (r *run) recordMayBeLost(ctx context.Context) (bool, error) {
	if r.req.Delivery.Deliveries <= 1 {
		return false, nil
	}
	created, recreated, err := r.bucketCreated(ctx, createdMaxAgeAgain)
	return recreated && created.After(r.req.Delivery.Stored), err
}

// bucketCreated returns when the bucket of records was created, as of an answer that is no older than maxAge, and whether
// there may have been one before.
func (r *run) bucketCreated(ctx context.Context, maxAge time.Duration) (created time.Time, recreated bool, err error) {
	created, err = r.Tracker.Created(ctx, maxAge)
	return created, created.Sub(r.Requests.Created(ctx)) > createdTogether, err
}

// unrecorded is the first record of a task that an earlier delivery may have submitted. Nothing is submitted for it unless
// its request allows a second submission.
func unrecorded(first task.Record) task.Record {
	first.State, first.Attempts = task.Submitting, 1
	return first
}
