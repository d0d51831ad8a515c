package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// patience is how long a new task waits for its place in the gate before it gets a record. Within it
// the record is born as submitting, one write less than one that has to wait first.
const patience = time.Second

// claim makes the record this run's own: a new one, or the one that is there with the next epoch. It
// returns errSettled where the request needs nothing more, and task.ErrNotOwner where somebody else has
// the task.
func (r *run) claim(ctx context.Context) error {
	if r.req.Message.Deliveries > 1 {
		if err := r.resume(ctx); !errors.Is(err, task.ErrNoRecord) {
			return err
		}
	}
	for {
		err := r.begin(ctx)
		if !errors.Is(err, task.ErrRecordExists) {
			return err
		}
		if err = r.resume(ctx); !errors.Is(err, task.ErrNoRecord) {
			return err
		}
	}
}

// begin creates the record of a new task: submitting where the gate lets it in soon, else waiting.
func (r *run) begin(ctx context.Context) error {
	state := task.Waiting
	if r.enter(ctx, patience) == nil && !r.expired() {
		state = task.Submitting
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.req.Message.HasLapsed() {
		return task.ErrNotOwner
	}
	rec, err := r.tracker.Create(context.WithoutCancel(ctx), r.firstRecord(state))
	if err != nil {
		r.giveUpPlace()
		return err
	}
	r.rec = rec
	r.log.Debug().Str("task", rec.TaskID).Str("state", string(state)).Msg("task began")
	return nil
}

func (r *run) firstRecord(state task.State) task.Record {
	rec := task.Record{
		TaskID: r.req.TaskID, State: state, Owner: r.cfg.Worker, Epoch: 1,
		RequestSeq: r.req.Message.Seq, RequestedAt: r.req.Message.Stored,
		Digest: r.req.Digest, SessionID: r.req.SessionID,
	}
	if state == task.Submitting {
		rec.Attempts = 1
	}
	return rec
}

// resume goes on where the record says that the task is.
func (r *run) resume(ctx context.Context) error {
	rec, err := r.tracker.Get(ctx, r.req.TaskID)
	if err != nil {
		return err
	}
	switch {
	case !rec.Of(r.req.Message):
		return r.repeat(ctx, rec)
	case rec.State.Ended():
		return errSettled // its event is stored: only the acknowledgement was lost
	default:
		return r.goOn(ctx, rec)
	}
}

// goOn takes over a task that has not ended.
func (r *run) goOn(ctx context.Context, rec task.Record) error {
	if rec.State == task.Submitting {
		return r.resumeSubmission(ctx, rec)
	}
	return r.takeOver(ctx, rec)
}

// resumeSubmission goes on with a task that was found in the middle of its submission. Its owner may be
// alive, cut off from NATS while it has the answer in hand: the record is watched for a while before the
// outcome is taken for unknown.
func (r *run) resumeSubmission(ctx context.Context, found task.Record) error {
	rec, err := r.awaitOwner(ctx, found)
	if err != nil {
		return err
	}
	if rec.Revision != found.Revision {
		return r.resume(ctx)
	}
	if err := r.takeOver(ctx, rec); err != nil {
		return err
	}
	return r.submissionUnknown(ctx, "the worker that submitted it did not record the answer")
}

// awaitOwner reads the record until it has changed or the grace is over.
func (r *run) awaitOwner(ctx context.Context, found task.Record) (task.Record, error) {
	const looks = 20
	for range looks {
		if err := sleep(ctx, r.cfg.OwnerGrace/looks); err != nil {
			return found, err
		}
		rec, err := r.tracker.Get(ctx, found.TaskID)
		if err != nil || rec.Revision != found.Revision {
			return rec, err
		}
	}
	return found, nil
}

// takeOver writes this worker and the next epoch into a record.
func (r *run) takeOver(ctx context.Context, rec task.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	from := rec.Owner
	rec.Owner = r.cfg.Worker
	rec.Epoch++
	rec.RequestSeq, rec.RequestedAt = r.req.Message.Seq, r.req.Message.Stored
	rec, err := r.tracker.Save(context.WithoutCancel(ctx), rec)
	if err != nil {
		return err
	}
	r.rec = rec
	r.metrics.takeovers.Inc()
	r.log.Info().Str("task", rec.TaskID).Str("workflow", rec.WorkflowID).Str("state", string(rec.State)).
		Str("from", from).Uint64("epoch", rec.Epoch).Msg("task was taken over")
	return nil
}

// repeat answers a request whose task id another request has used.
func (r *run) repeat(ctx context.Context, rec task.Record) error {
	switch {
	case rec.Digest != r.req.Digest:
		return r.refuseDuplicate(ctx, "was used by another request with other content; choose another one")
	case rec.State.Ended():
		return r.replay(ctx, rec)
	}
	stored, err := r.requests.StoredAt(ctx, rec.RequestSeq)
	switch {
	case errors.Is(err, task.ErrNoRequest), err == nil && !stored.Equal(rec.RequestedAt):
		// Its own request was removed from the stream, by an operator's hand: the copy takes its place, or
		// the task would have no event.
		return r.goOn(ctx, rec)
	case err != nil:
		return err
	}
	r.log.Info().Str("task", rec.TaskID).Msg("request repeats one that runs: one event serves both")
	return errSettled
}

// replay publishes the event of an ended task once more.
func (r *run) replay(ctx context.Context, rec task.Record) error {
	err := r.publisher.Replay(context.WithoutCancel(ctx), r.req.Message, rec.TaskID, rec.ResultSeq)
	if errors.Is(err, task.ErrNoEvent) {
		return r.refuseDuplicate(ctx, fmt.Sprintf("ended as %s at %s and its event is not stored any more; choose another one to run it again",
			rec.State, rec.FinishedAt.Format(time.RFC3339)))
	}
	if err != nil {
		return err
	}
	r.log.Info().Str("task", rec.TaskID).Msg("event was published again for a repeated request")
	return errSettled
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
