package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// countFrom is the delivery from which on a request's deliveries are counted: ordinary tasks pay nothing.
	countFrom = 3

	// poisonAfter is how many deliveries without a step forward make a request poisoned.
	poisonAfter = 10
)

// countDelivery counts a delivery before the request is looked at, and reports whether it is poisoned: ten deliveries
// ended without a step forward, so that the request kills or hangs the workers that read it. A step forward is a
// record that says more than before, or an answer of the API that the workflow runs. A drain resets the count.
func (p *Pipeline) countDelivery(ctx context.Context, m *task.Delivery) (d task.DeliveryCount, poisoned bool, err error) {
	if m.Deliveries < countFrom {
		return task.DeliveryCount{Stream: m.Stream, Seq: m.Seq, Stored: m.Stored}, false, nil
	}
	d, err = p.Tracker.Deliveries(ctx, *m)
	if err != nil {
		return d, false, err
	}
	if d.Count >= poisonAfter {
		return d, true, nil
	}
	if d.Count == 0 {
		d.Count = countFrom - 1 // those before were not counted
	}
	d.Count++
	return d, false, p.Tracker.SaveDeliveries(ctx, d)
}

// named notes the task's id with the count, so that a request that is poisoned later can be answered under its id.
func (r *run) named(ctx context.Context) error {
	if r.deliveries.Count == 0 || r.deliveries.TaskID != "" {
		return nil
	}
	r.deliveries.TaskID = r.req.TaskID
	return r.Tracker.SaveDeliveries(ctx, r.deliveries)
}

// stepForward resets the count of deliveries. A failure of that costs the task nothing: the next step forward
// tries again, and NATS is unreachable.
func (r *run) stepForward(ctx context.Context) {
	if r.deliveries.Count == 0 {
		return
	}
	reset := r.deliveries
	reset.Count = 0
	if err := r.Tracker.SaveDeliveries(context.WithoutCancel(ctx), reset); err == nil {
		r.deliveries = reset
	}
}

// endPoisoned ends a task whose request kills or hangs workers. Its content is not read.
func (p *Pipeline) endPoisoned(ctx context.Context, m *task.Delivery, d task.DeliveryCount) error {
	ctx = context.WithoutCancel(ctx)
	why := task.NewError(task.Poisoned, fmt.Sprintf("%d deliveries ended without a step forward: the request kills or hangs workers", d.Count))
	id := d.TaskID
	rec, err := task.Record{}, task.ErrNoRecord
	if id == "" {
		id = m.DefaultID()
	} else {
		rec, err = p.Tracker.Get(ctx, id)
	}
	hasRecord := err == nil && rec.BelongsTo(*m)
	switch {
	case err != nil && !errors.Is(err, task.ErrNoRecord):
		return err
	case hasRecord && rec.State.Ended(): // its event is stored: only the acknowledgement was lost
		return nil
	case hasRecord:
		rec.Owner, rec.Epoch = p.cfg.Worker, rec.Epoch+1
		if rec, err = p.Tracker.Save(ctx, rec); err != nil {
			return err
		}
	}
	if err := p.Publisher.DeadLetter(ctx, *m, unread(m.Data), why.Message); err != nil {
		return err
	}
	ev := p.refusal(m, id, why)
	ev.WorkflowID, ev.SubmittedAt, ev.Attempts, ev.Polls = rec.WorkflowID, rec.SubmittedAt, rec.Attempts, rec.Polls
	if err := p.publishPoisoned(ctx, m, ev, rec, hasRecord); err != nil {
		return err
	}
	p.metrics.tasks.WithLabelValues(string(ev.Status), string(ev.Error.Code)).Inc()
	p.log.Error().Str("task", id).Uint64("seq", m.Seq).Int("deliveries", d.Count).Msg("request poisoned, put aside")
	return nil
}

// publishPoisoned stores the event of a poisoned request, and finishes its record where it has one. Without one the
// id may be another task's.
func (p *Pipeline) publishPoisoned(ctx context.Context, m *task.Delivery, ev task.Event, rec task.Record, hasRecord bool) error {
	if !hasRecord {
		return p.Publisher.PublishPerRequest(ctx, *m, ev, true)
	}
	ev, seq, err := p.Publisher.Publish(ctx, *m, ev, true)
	if err != nil {
		return err
	}
	_, err = p.Tracker.Save(ctx, rec.Finished(ev, seq))
	return err
}

// unread returns the bytes of a request that is kept unread, or nil where they may hold secrets: the word stands in
// them, or an escape that could spell it.
func unread(data []byte) []byte {
	for i := range data {
		rest := data[i:]
		if rest[0] == '\\' && len(rest) > 1 && rest[1] == 'u' {
			return nil
		}
		if rest[0]|0x20 == 's' && len(rest) >= len("secret") && bytes.EqualFold(rest[:len("secret")], []byte("secret")) {
			return nil
		}
	}
	return data
}
