package inspect

import (
	"context"
	"maps"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// Refusals counts the requests that were refused: they have an event and no record.
type Refusals struct {
	heads   *operator.Tail
	byBatch map[string]map[task.Code]int // all of them under ""
}

// NewRefusals returns the refusals of all batches. It reads nothing yet.
func NewRefusals(q operator.Queue) *Refusals {
	r := &Refusals{heads: q.EventHeaders()}
	r.reset()
	return r
}

// reset forgets what was counted.
func (r *Refusals) reset() { r.byBatch = map[string]map[task.Code]int{"": {}} }

// Refresh reads the headers of the events that were stored since the last time.
func (r *Refusals) Refresh(ctx context.Context) error {
	return r.heads.Read(ctx, r.reset, func(msg jetstream.Msg) error {
		header := msg.Headers()
		code, batch := task.Code(header.Get(publisher.CodeHeader)), header.Get(publisher.BatchHeader)
		ev := task.Event{Error: &task.Error{Code: code}, Digest: header.Get(publisher.DigestHeader)}
		if !ev.RefusesRequest() || header.Get(publisher.ReplayHeader) != "" {
			return nil
		}
		r.byBatch[""][code]++
		if batch == "" {
			return nil
		}
		if r.byBatch[batch] == nil {
			r.byBatch[batch] = map[task.Code]int{}
		}
		r.byBatch[batch][code]++
		return nil
	})
}

// ByBatch returns the counts by batch, and of all requests under "". They do not change with a later Refresh.
func (r *Refusals) ByBatch() map[string]map[task.Code]int {
	counts := make(map[string]map[task.Code]int, len(r.byBatch))
	for batch, codes := range r.byBatch {
		counts[batch] = maps.Clone(codes)
	}
	return counts
}
