package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// patience is how long a new task waits to be admitted before it gets a record. Within it the record is
// created as submitting, one write less than for a task that has to wait first.
const patience = time.Second

// claim makes the task's record this run's own and returns it. done: the request needs nothing more than its
// acknowledgement. The error is task.ErrNotOwner where another worker has the task.
func (r *run) claim(ctx context.Context) (rec *task.Record, done bool, err error) {
	if err := r.named(ctx); err != nil {
		return nil, false, err
	}
	m := &r.req.Delivery
	err = task.ErrNoRecord // a first delivery has none, nearly always
	if m.Deliveries > 1 {
		rec, err = r.find(ctx)
	}
	restored := false
	for ; ; rec, err = r.find(ctx) {
		if errors.Is(err, task.ErrNoRecord) && !restored {
			waited, err := r.awaitRestored(ctx)
			if err != nil {
				return nil, false, err
			}
			if restored = true; waited {
				continue
			}
		}
		switch {
		case errors.Is(err, task.ErrNoRecord): // a new task
			rec, err = r.begin(ctx)
			switch {
			case errors.Is(err, task.ErrRecordExists): // an earlier delivery has begun it, or another request
				continue
			case errors.Is(err, task.ErrBucketRecreated): // it may have had a record
				restored = false
				continue
			}
			return rec, false, err
		case errors.Is(err, task.ErrNewerRecord): // a worker of the newer version goes on with it
			r.log.Warn().Str("task", r.req.TaskID).Msg("record of a newer version left alone")
			return rec, false, err
		case err != nil:
			return rec, false, err
		case !rec.BelongsTo(*m) && rec.Digest != r.req.Digest: // another request has used the id
			return rec, true, r.refuseDuplicate(ctx, "was used by another request with other content; choose another one")
		case !rec.BelongsTo(*m) && rec.State.Ended(): // a copy of a task that has ended
			return rec, true, r.replay(ctx, rec)
		case rec.State.Ended(): // its event is stored: only the acknowledgement was lost
			return rec, true, nil
		}
		if !rec.BelongsTo(*m) {
			stands, err := r.requestStands(ctx, rec)
			if err != nil {
				return rec, false, err
			}
			if stands { // a copy of a task that runs
				r.log.Info().Str("task", rec.TaskID).Msg("duplicate of a running task, both share one event")
				return rec, true, nil
			}
		}
		if rec.State == task.Submitting {
			changed, err := r.awaitOwner(ctx, rec)
			if err != nil {
				return rec, false, err
			}
			if changed {
				continue
			}
		}
		rec, err = r.takeOver(ctx, rec)
		return rec, false, err
	}
}

// find reads the task's record.
func (r *run) find(ctx context.Context) (*task.Record, error) {
	rec, err := r.Tracker.Get(ctx, r.req.TaskID)
	return &rec, err
}

// begin creates the record of a new task: submitting where it is admitted soon, else waiting.
func (r *run) begin(ctx context.Context) (*task.Record, error) {
	first := task.Record{
		TaskID: r.req.TaskID, State: task.Waiting, Owner: r.cfg.Worker, Epoch: 1,
		RequestSeq: r.req.Delivery.Seq, RequestedAt: r.req.Delivery.Stored,
		Digest: r.req.Digest, SessionID: r.req.SessionID,
	}
	lost, err := r.recordMayBeLost(ctx)
	switch {
	case err != nil:
		return nil, err
	case lost:
		first = unrecorded(first)
	case r.acquire(ctx, patience) == nil && !r.expired():
		first = r.submitting(first)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.req.Delivery.LostLease() {
		return nil, task.ErrNotOwner
	}
	rec, err := r.create(ctx, first)
	if err != nil {
		r.releasePlace(task.ErrNotSubmitted)
		return rec, err
	}
	r.log.Debug().Str("task", rec.TaskID).Str("state", string(rec.State)).Bool("earlier_record_lost", lost).Msg("task began")
	return rec, nil
}

// requestStands reports whether the request that a record names is still stored. Where an operator has removed it,
// a copy takes its place, or the task would have no event.
func (r *run) requestStands(ctx context.Context, rec *task.Record) (bool, error) {
	stored, err := r.Requests.StoredAt(ctx, rec.RequestSeq)
	if errors.Is(err, task.ErrNoRequest) {
		return false, nil
	}
	return stored.Equal(rec.RequestedAt), err
}

// awaitOwner watches a record that was found in the middle of a submission, and reports whether it has changed. Its
// owner may be alive, cut off from NATS with the answer in hand. The outcome is taken for unknown only when the POST is
// over by the record, and OwnerGrace too.
func (r *run) awaitOwner(ctx context.Context, found *task.Record) (changed bool, err error) {
	grace := r.cfg.OwnerGrace
	if found.PostUntil.IsZero() { // an older version wrote it
		grace = max(grace, r.cfg.PostTimeout)
	} else {
		grace = max(grace, min(found.PostUntil.Sub(r.cfg.Clock.Now()), longestPost))
	}
	const looks = 20
	for range looks {
		if err := sleep(ctx, grace/looks); err != nil {
			return false, err
		}
		if rec, err := r.Tracker.Get(ctx, found.TaskID); err != nil || rec.Revision != found.Revision {
			return true, ctx.Err() // the claim reads it once more, and decides
		}
	}
	return false, nil
}

// longestPost bounds how long another worker's submission is waited for.
const longestPost = 10 * time.Minute

// takeOver writes this worker and the next epoch into a record.
func (r *run) takeOver(ctx context.Context, found *task.Record) (*task.Record, error) {
	if err := ctx.Err(); err != nil {
		return found, err
	}
	next := *found
	next.Owner = r.cfg.Worker
	next.Epoch++
	next.RequestSeq, next.RequestedAt = r.req.Delivery.Seq, r.req.Delivery.Stored
	rec, err := r.save(ctx, next)
	if err != nil {
		return rec, err
	}
	r.metrics.takeovers.Inc()
	r.log.Info().Str("task", rec.TaskID).Str("workflow", rec.WorkflowID).Str("state", string(rec.State)).
		Str("from", found.Owner).Uint64("epoch", rec.Epoch).Msg("task taken over")
	return rec, nil
}

// replay publishes the event of an ended task once more.
func (r *run) replay(ctx context.Context, rec *task.Record) error {
	err := r.Publisher.Replay(context.WithoutCancel(ctx), r.req.Delivery, rec.TaskID, rec.ResultSeq)
	if errors.Is(err, task.ErrNoEvent) {
		return r.refuseDuplicate(ctx, fmt.Sprintf("ended as %s at %s and its event is not stored any more; choose another one to run it again",
			rec.State, rec.FinishedAt.Format(time.RFC3339)))
	}
	if err != nil {
		return err
	}
	r.log.Info().Str("task", rec.TaskID).Msg("event published again for a repeated request")
	return nil
}

// sleep waits for d and returns nil, or ctx's error when that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
