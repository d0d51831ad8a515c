package pipeline

import (
	"context"
	"errors"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// The functions of this file return the record as it is in the bucket. No step changes it: each writes a changed copy.

// moment is the one right before the record was read or written.
type moment struct {
	at     time.Time // by this machine's clock
	losses uint64    // how often RecordsLost had been called
}

// moment returns the one of a call that begins now.
func (p *Pipeline) moment() moment { return moment{at: time.Now(), losses: p.lost.Load()} }

// saw notes that the bucket had the run's record at a moment, and that the run trusts it for a while.
func (r *run) saw(m moment, trusted time.Duration) {
	r.losses, r.certainUntil = m.losses, m.at.Add(trusted)
}

// mayBeLost reports whether the bucket may have lost the record since the run saw it there.
func (r *run) mayBeLost() bool { return r.lost.Load() != r.losses }

// create writes the first record of the task.
func (r *run) create(ctx context.Context, first task.Record) (*task.Record, error) {
	began := r.moment()
	rec, err := r.Tracker.Create(context.WithoutCancel(ctx), first)
	if err == nil {
		r.saw(began, certainFor)
		r.resetCount(ctx)
	}
	return &rec, err
}

// save writes the record of a task that this run owns. If the bucket has lost the record, save writes it again:
// another worker would find none and run the task a second time.
func (r *run) save(ctx context.Context, next task.Record) (*task.Record, error) {
	began := r.moment()
	rec, err := r.Tracker.Save(context.WithoutCancel(ctx), next)
	if errors.Is(err, task.ErrRecordLost) {
		began, r.contested = r.moment(), r.cfg.Clock.Now() // another worker may have written it again, too
		rec, err = r.saveLost(ctx, rec)
	}
	if errors.Is(err, task.ErrRecordLost) {
		err = task.ErrNotOwner
	}
	if err == nil {
		r.saw(began, certainFor)
	}
	return &rec, err
}

// saveLost writes a record that the bucket has lost. It returns task.ErrNotOwner if another worker may have the task.
//
// What only this run knows, such as the workflow, is written even if its lease has expired: another worker that has the
// request waits for it, and would else run the task a second time.
func (r *run) saveLost(ctx context.Context, rec task.Record) (task.Record, error) {
	isKnown := rec.WorkflowID != "" || rec.State.Ended() || r.posted || rec.UnknownOnce() || rec.Run > 0
	switch {
	case !isKnown && r.req.Delivery.LostLease(), isKnown && !rec.State.Ended() && r.endedElsewhere(ctx, rec):
		return rec, task.ErrNotOwner
	case !isKnown:
		// As long as this run has submitted nothing, nothing is lost if another worker does.
		if err := r.awaitOthers(ctx, rec); err != nil {
			return rec, err
		}
	}
	r.log.Warn().Str("task", rec.TaskID).Str("workflow", rec.WorkflowID).Msg("lost record written again")
	return r.Tracker.Save(context.WithoutCancel(ctx), rec)
}

// advance writes a record that is a step forward for the task.
func (r *run) advance(ctx context.Context, next task.Record) (*task.Record, error) {
	rec, err := r.save(ctx, next)
	if err == nil {
		r.resetCount(ctx)
	}
	return rec, err
}

// certainFor is how long a run trusts that the record which it wrote has not changed. A worker whose host was
// suspended does not know that its lease has expired, but the wall clock has advanced. And a cluster of NATS may have
// forgotten the delivery without a break of this worker's connection. A submission takes less, so it costs no extra read.
// A workflow runs for longer, and one read before its event costs little.
const certainFor = time.Second

// readCertainFor is the same for a record that it has only read. A worker that takes the task over sees when the record was
// written, and waits until its owner does not trust it any more; it cannot see when the record was read.
const readCertainFor = 100 * time.Millisecond

// contestedFor is up to how old a record is whose owner may trust it, with a margin: the server's time is not known exactly.
const contestedFor = 2 * certainFor

// confirm checks that this run still owns the task, if there is reason to doubt it.
func (r *run) confirm(ctx context.Context, rec *task.Record) (*task.Record, error) {
	isCertain := time.Now().Round(0).Before(r.certainUntil.Round(0))
	if isCertain && !r.req.Delivery.LostLease() && r.reconnects == r.countReconnects() {
		return rec, nil
	}
	return r.restore(ctx, rec)
}

// countReconnects returns how often the connection to NATS was made again.
func (p *Pipeline) countReconnects() uint64 {
	if p.cfg.Reconnects == nil {
		return 0
	}
	return p.cfg.Reconnects()
}

// restore checks that the bucket holds the record as this run wrote it, and writes it again if it was lost.
func (r *run) restore(ctx context.Context, rec *task.Record) (*task.Record, error) {
	began := r.moment()
	found, err := r.Tracker.Get(ctx, rec.TaskID)
	switch {
	case err == nil && found.Revision == rec.Revision && (found.Owner != rec.Owner || found.Epoch != rec.Epoch):
		// The bucket was recreated, so it counts its revisions from 1 again: this is another worker's record.
		return rec, task.ErrNotOwner
	case err == nil && found.Revision == rec.Revision:
		// The record is as this run wrote it.
		r.saw(began, readCertainFor)
		return rec, nil
	case err != nil && !errors.Is(err, task.ErrNoRecord):
		return rec, err
	default:
		// The record is missing or another one: save finds out whether it was lost or taken over.
		return r.save(ctx, *rec)
	}
}
