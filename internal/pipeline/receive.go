package pipeline

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/capstan-worker/capstan/internal/task"
)

// run is one delivery on its way through the steps. Its record is not part of it: each step gets the record as it is
// in the bucket, and returns the one that it wrote.
type run struct {
	*Pipeline
	req        *task.Request
	count      int             // of deliveries without a step forward; 0 if none are counted
	reconnects uint64          // when the request was delivered
	drained    <-chan struct{} // closed when the worker drains
	posted     bool            // this delivery has sent a POST for the run that the record is in
	slot       func(error)     // releases the submission slot; nil while the run has none
	kind       string          // of the run, for the poller
	secrets    []string        // the values of the request's SecretRefs, if hasSecrets
	hasSecrets bool

	losses       uint64    // how often RecordsLost had been called when the record was last seen in the bucket
	certainUntil time.Time // until when this run trusts that it owns the record, by this machine's clock
	contested    time.Time // when another worker may have written the record as well, by the server's clock; zero: none has

	own      ownRefusals
	sessions sessions
	span     trace.Span // of the task; nil without a Tracer
	progress progress
}

// receive counts the delivery and reads the request. It returns no run if that already answers the request: it is
// poisoned, or it breaks a rule.
func (p *Pipeline) receive(ctx context.Context, d *task.Delivery) (*run, error) {
	reconnects := p.countReconnects()
	count, poisoned, err := p.countDelivery(ctx, d)
	if err != nil {
		return nil, err
	}
	if poisoned {
		return nil, p.endPoisoned(ctx, d, count)
	}
	var req *task.Request
	d.WhileBusy(func() { req, err = task.ParseRequest(*d, p.cfg.Defaults) })
	if err != nil {
		return nil, p.refuse(ctx, d, err)
	}
	d.Header, d.Data = nil, nil // the request keeps the parts that it needs
	if req.UnusedMessageID != "" {
		p.log.Warn().Str("task", req.TaskID).Str("message_id", req.UnusedMessageID).
			Msg("Nats-Msg-Id cannot be a task id, a later copy of the request will be another task")
	}
	if err := p.nameCount(ctx, &count, req.TaskID); err != nil {
		return nil, err
	}
	r := &run{Pipeline: p, req: req, count: count.Count, reconnects: reconnects, drained: ctx.Done()}
	r.enterStep(stepClaim)
	p.runs.add(r)
	return r, nil
}

// end releases what the run still has, after a panic too. A drain is no fault of the task, so it resets the count of
// deliveries.
func (r *run) end(ctx context.Context) {
	r.releaseSlot(task.ErrNotSubmitted)
	if ctx.Err() != nil {
		r.resetCount(ctx)
	}
	r.stopWait(nil)
	r.runs.remove(r)
	r.enterStep(stepNone)
	r.endTrace()
}
