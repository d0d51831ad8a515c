package pipeline

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// When the bucket of records is deleted and created again, a running task has no record until its worker writes it
// again, a task whose worker died has none at all, and a task that has ended is forgotten. A worker that finds no record
// must not run such a task a second time. So for a while after the bucket was created, it does not take a task without a
// record for a new one, and it looks for the task's event.

const (
	// restoreTime is the time that workers need to notice a new bucket, which they check every two seconds, and to write
	// their records.
	restoreTime = 5 * time.Second

	// createdTogether is the largest age difference of the request stream and a bucket that were created for the first
	// time: then there were no earlier runs.
	createdTogether = 2 * time.Second

	// How old the answer may be that says when the bucket was created: for a first delivery, and where an earlier record may
	// have been lost.
	firstMaxAge, laterMaxAge = time.Second, 50 * time.Millisecond
)

// ownersTime is how long after the bucket was created a living worker may take to write the records of its tasks again.
// One in the middle of a POST writes its record only after that.
func (r *run) ownersTime() time.Duration { return restoreTime + r.cfg.PostTimeout }

// beginAfter is how long after the bucket was created the request may begin as a new task. If a worker has died with the
// bucket, its requests are redelivered within AckWait. They go first: a copy of one could not know that it was submitted.
func (r *run) beginAfter() time.Duration {
	if r.req.Delivery.Deliveries > 1 {
		return r.ownersTime()
	}
	return max(r.ownersTime(), r.cfg.AckWait) + restoreTime
}

// restoreWait returns how much of a time since the bucket was created is left; 0 or less if none is, or if there was no
// bucket before. The answer that says when it was created may be as old as maxAge.
func (r *run) restoreWait(ctx context.Context, since, maxAge time.Duration) time.Duration {
	created, recreated, err := r.bucketCreated(ctx, maxAge)
	if err != nil || !recreated { // an error means that no call of this run will succeed
		return 0
	}
	return min(since, created.Add(since).Sub(r.cfg.Clock.Now()))
}

// loss says what may be lost of a task that has no record.
type loss int

const (
	notLost        loss = iota
	maybeEnded          // the bucket may have forgotten the end of a task with this id
	maybeSubmitted      // and an earlier delivery of the request may have submitted the task
)

// recordLoss finds out by the ages of the bucket and of the request whether the task may have had a record.
func (r *run) recordLoss(ctx context.Context) (loss, error) {
	d := &r.req.Delivery
	maxAge := firstMaxAge
	if d.Deliveries > 1 {
		maxAge = laterMaxAge
	}
	created, recreated, err := r.bucketCreated(ctx, maxAge)
	switch {
	case err != nil || !recreated || created.Before(d.Stored.Add(-task.CopiesWithin)):
		return notLost, err
	case d.Deliveries > 1 && created.After(d.Stored):
		return maybeSubmitted, nil
	default:
		return maybeEnded, nil
	}
}

// endedRecord returns the record of a task that has ended, by an event that is stored. NATS can forget that it has
// delivered a request, or that it was acknowledged, so the event may be this request's own. found is taskBegan if there
// is no event.
//
// The event of another request with the same task id does not say which request that was, so the record has no request's
// sequence. Nor does an event of an older version say what the content was: then this request counts as one with other
// content. If such a request may have been submitted, the event does not tell how its task ended.
func (r *run) endedRecord(ctx context.Context, first task.Record, lost loss) (_ task.Record, found beginning, _ error) {
	ev, seq, answered, err := r.Publisher.Find(ctx, r.req.Delivery, first.TaskID, first.Digest)
	isOwn := ev.RequestedAt.Equal(first.RequestedAt) && !ev.RefusesRequest()
	switch {
	case errors.Is(err, task.ErrNoEvent):
		return first, taskBegan, nil
	case err != nil:
		return first, taskBegan, err
	case answered && !isOwn: // a refusal, or another task's event
		return first, taskAnswered, nil
	case !answered && r.isOfEarlierStream(ctx, ev), !answered && ev.Digest != first.Digest && lost == maybeSubmitted:
		return first, taskBegan, nil
	case !answered:
		first.RequestSeq, first.RequestedAt, first.Digest = 0, ev.RequestedAt, ev.Digest
	default: // the worker may have died right after it published the event
		if err := r.keepFailed(ctx, &ev); err != nil {
			return first, taskBegan, err
		}
	}
	r.log.Info().Str("task", first.TaskID).Uint64("event", seq).Msg("record of a finished task was lost, written again")
	first.WorkflowID, first.SubmittedAt, first.Attempts = ev.WorkflowID, ev.SubmittedAt, ev.Attempts
	first.SessionID = cmp.Or(ev.SessionID, first.SessionID)
	return first.Finished(ev, seq), recordChanged, nil
}

// isOfEarlierStream reports whether an event with the request's task id belongs to a request of the stream before this
// one: a stream that was recreated assigns the default task ids again.
func (r *run) isOfEarlierStream(ctx context.Context, ev task.Event) bool {
	return r.req.TaskID == r.req.Delivery.DefaultID() && ev.RequestedAt.Before(r.Requests.Created(ctx))
}

// awaitOthers returns task.ErrNotOwner if another worker has a task that this one has not submitted. Two workers have one
// request when NATS has forgotten a delivery, and then only the record tells which of them may submit it. So before the
// lost record is written again, the other one has its time to do that. If it has finished the task, the request is gone.
// A drain ends the wait, also where ctx lets a call outlive it.
func (r *run) awaitOthers(ctx context.Context, rec task.Record) error {
	_, err := r.Requests.StoredAt(ctx, r.req.Delivery.Seq)
	if errors.Is(err, task.ErrNoRequest) {
		return task.ErrNotOwner
	}
	if err != nil {
		return err
	}
	if err := timer.Sleep(ctx, r.restoreWait(ctx, r.ownersTime(), laterMaxAge), r.drained); err != nil {
		return err
	}
	select {
	case <-r.drained:
		return context.Canceled
	default:
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

// endedElsewhere reports whether another worker has ended this run's task and acknowledged its request, which removes it
// from the stream. An operator may have removed the request as well, so only the task's event is proof.
func (r *run) endedElsewhere(ctx context.Context, rec task.Record) bool {
	d := r.req.Delivery
	if _, err := r.Requests.StoredAt(ctx, d.Seq); !errors.Is(err, task.ErrNoRequest) {
		return false
	}
	_, _, answered, err := r.Publisher.Find(ctx, d, rec.TaskID, rec.Digest)
	return err == nil && answered
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
