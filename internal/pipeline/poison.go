package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// countFrom is the first delivery of a request that is counted: ordinary tasks cost no extra write.
	countFrom = 3

	// poisonAfter is how many deliveries without a step forward poison a request.
	poisonAfter = 10
)

// countDelivery counts a delivery before the request is read, and reports whether the request is poisoned: ten
// deliveries ended without a step forward, so it kills or hangs the workers that read it. A step forward is a record
// that says more than before, or an answer of the API that the workflow runs. A drain resets the count. A delivery that ends
// while it only waits for another worker does not count: the request cannot be the reason.
func (p *Pipeline) countDelivery(ctx context.Context, d *task.Delivery) (count task.DeliveryCount, poisoned bool, err error) {
	if d.Deliveries < countFrom {
		return task.DeliveryCount{Stream: d.Stream, Seq: d.Seq, Stored: d.Stored}, false, nil
	}
	count, err = p.Tracker.Deliveries(ctx, *d)
	if err != nil {
		return count, false, err
	}
	if count.Count >= poisonAfter {
		return count, true, nil
	}
	if count.Count == 0 {
		count.Count = countFrom - 1 // the earlier ones were not counted
	}
	count.Count++
	return count, false, p.Tracker.SaveDeliveries(ctx, count)
}

// nameCount stores the task's id with the count, so that a request which is poisoned later is answered under its id.
func (p *Pipeline) nameCount(ctx context.Context, count *task.DeliveryCount, taskID string) error {
	if count.Count == 0 || count.TaskID != "" {
		return nil
	}
	count.TaskID = taskID
	return p.Tracker.SaveDeliveries(ctx, *count)
}

// uncount takes the delivery off the count while the run only waits for another worker. The caller calls recount when the
// wait is over.
func (r *run) uncount(ctx context.Context) (recount func()) {
	if r.count == 0 || r.saveCount(ctx, r.count-1) != nil {
		return func() {}
	}
	return func() { _ = r.saveCount(ctx, r.count) }
}

// resetCount resets the count of deliveries after a step forward. It fails only if NATS is unreachable; then the next
// step forward resets it.
func (r *run) resetCount(ctx context.Context) {
	if r.count != 0 && r.saveCount(context.WithoutCancel(ctx), 0) == nil {
		r.count = 0
	}
}

// saveCount writes a count of the request's deliveries.
func (r *run) saveCount(ctx context.Context, count int) error {
	d := &r.req.Delivery
	return r.Tracker.SaveDeliveries(ctx, task.DeliveryCount{
		Stream: d.Stream, Seq: d.Seq, Stored: d.Stored, Count: count, TaskID: r.req.TaskID,
	})
}

// endPoisoned ends a task whose request kills or hangs workers, without reading its content.
func (p *Pipeline) endPoisoned(ctx context.Context, d *task.Delivery, count task.DeliveryCount) error {
	drained := ctx
	ctx = context.WithoutCancel(ctx)
	rec, err := p.claimPoisoned(ctx, d, count.TaskID)
	if err != nil || rec.State.Ended() { // if it has ended, only the acknowledgement was lost
		return err
	}
	if rec.TaskID != "" && (p.cfg.Sessions || rec.SessionID != "") {
		if rec, err = p.endSessions(drained, rec); err != nil {
			return err
		}
	}
	why := task.NewError(task.Poisoned, fmt.Sprintf("%d deliveries ended without progress: the request kills or hangs workers", count.Count))
	ev := p.refusal(d, cmp.Or(count.TaskID, d.DefaultID()), why)
	ev.Batch, ev.Runs = rec.Batch, rec.Runs
	letter := task.DeadLetter{
		Body: p.withoutKeys(withoutSecrets(d.Data)), TaskID: ev.TaskID, Code: task.Poisoned, Host: rec.Host, Batch: rec.Batch, Reason: why.Message,
	}
	if err := p.Publisher.DeadLetter(ctx, *d, letter); err != nil {
		return err
	}
	ev.WorkflowID, ev.SubmittedAt, ev.Attempts, ev.Polls, ev.Digest = rec.WorkflowID, rec.SubmittedAt, rec.Attempts, rec.Polls, rec.Digest
	ev.Steps, ev.Credits = used(&rec)
	if rec.SessionEnded != nil { // else the request may have named the session, which was not read
		ev.SessionID, ev.SessionEnded = rec.SessionID, rec.SessionEnded
	}
	if err := p.publishPoisoned(ctx, d, ev, rec); err != nil {
		return err
	}
	p.metrics.countEvent(&ev)
	p.log.Error().Str("task", ev.TaskID).Uint64("seq", d.Seq).Int("deliveries", count.Count).Msg("poisoned request dead-lettered")
	return nil
}

// endSessions ends the open sessions that Capstan has created for a poisoned task. It returns the record with the end of the
// one that it names.
func (p *Pipeline) endSessions(ctx context.Context, rec task.Record) (task.Record, error) {
	ids, err := p.tagged(ctx, &rec)
	if err != nil {
		return rec, err
	}
	if i := slices.Index(ids, rec.SessionID); i >= 0 {
		ids = slices.Delete(ids, i, i+1)
		end, err := p.Sessions.End(ctx, rec.SessionID)
		if err != nil {
			return rec, err
		}
		rec = ended(rec, end)
	}
	return rec, p.Sessions.EndAll(ctx, ids)
}

// claimPoisoned returns the record of a poisoned request with this worker as its owner, or with its end. It returns
// the zero record if the request has none: its id is not known, or is another task's.
func (p *Pipeline) claimPoisoned(ctx context.Context, d *task.Delivery, taskID string) (task.Record, error) {
	if taskID == "" {
		return task.Record{}, nil
	}
	rec, err := p.Tracker.Get(ctx, taskID)
	switch {
	case errors.Is(err, task.ErrNoRecord), err == nil && !rec.BelongsTo(*d):
		return task.Record{}, nil
	case err != nil || rec.State.Ended():
		return rec, err
	}
	rec.Owner, rec.Epoch = p.cfg.Worker, rec.Epoch+1
	return p.Tracker.Save(ctx, rec)
}

// publishPoisoned stores the event of a poisoned request and finishes its record. Without a record the id may be
// another task's, so the event gets a message id of its own.
func (p *Pipeline) publishPoisoned(ctx context.Context, d *task.Delivery, ev task.Event, rec task.Record) error {
	if rec.TaskID == "" {
		return p.Publisher.PublishPerRequest(ctx, *d, ev, true)
	}
	ev, seq, err := p.Publisher.Publish(ctx, *d, ev, true)
	if err != nil {
		return err
	}
	_, err = p.Tracker.Save(ctx, rec.Finished(ev, seq))
	return err
}

// withoutSecrets returns the bytes of a request that was not read, or nil if they may hold secrets: they contain the
// word, or an escape that could spell it.
func withoutSecrets(data []byte) []byte {
	const word = "secret"
	for i := range data {
		rest := data[i:]
		if bytes.HasPrefix(rest, []byte(`\u`)) || len(rest) >= len(word) && bytes.EqualFold(rest[:len(word)], []byte(word)) {
			return nil
		}
	}
	return data
}
