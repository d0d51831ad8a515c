package inspect

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// refusals counts the requests that were refused: they have an event and no record.
type refusals struct {
	heads   *operator.Tail
	byBatch map[string]map[task.Code]int
	all     map[task.Code]int
}

// newRefusals returns the refusals of all batches. It reads nothing yet.
func newRefusals(q operator.Queue) *refusals {
	r := &refusals{heads: q.EventHeaders()}
	r.reset()
	return r
}

// reset forgets what was counted.
func (r *refusals) reset() { r.all, r.byBatch = map[task.Code]int{}, map[string]map[task.Code]int{} }

// refresh reads the headers of the events that were stored since the last time.
func (r *refusals) refresh(ctx context.Context) error {
	return r.heads.Read(ctx, r.reset, func(msg jetstream.Msg) error {
		code, batch := task.Code(msg.Headers().Get(publisher.CodeHeader)), msg.Headers().Get(publisher.BatchHeader)
		if code != task.InvalidRequest && code != task.DuplicateTask {
			return nil
		}
		r.all[code]++
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

// of returns the counts of a batch, or of all requests if that is empty.
func (r *refusals) of(batch string) map[task.Code]int {
	if batch == "" {
		return r.all
	}
	return r.byBatch[batch]
}
