package inspect

import (
	"context"
	"maps"
	"slices"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// View looks at a queue again and again. Each look reads only what is new.
type View struct {
	q        operator.Queue
	batch    string
	records  *operator.Records
	backlog  *operator.Backlog
	refusals *Refusals
}

// NewView returns a view of a batch, or of the whole queue if that is empty. It reads nothing yet.
func NewView(q operator.Queue, batch string) *View {
	return &View{q: q, batch: batch, records: q.Records(nil), backlog: q.Backlog(), refusals: NewRefusals(q)}
}

// Status looks once. The error is an *operator.MissingError if there is neither a stream of requests nor a bucket of
// records. What else cannot be read is named in the notes.
func (v *View) Status(ctx context.Context) (Status, error) {
	s, err := v.look(ctx)
	if err != nil {
		return Status{}, err
	}
	s.Shared.Note(v.refusals.Refresh(ctx))
	s.Refused = v.refusals.byBatch
	canceled, err := v.q.Cancellation(ctx, "", v.batch)
	s.Shared.Note(err)
	if canceled != nil {
		s.Canceled = map[string]task.Cancellation{v.batch: *canceled}
	}
	return s.Status(v.batch), nil
}

// look looks once, at everything but the requests that were refused.
func (v *View) look(ctx context.Context) (*Snapshot, error) {
	k, err := BeginLook(ctx, v.q)
	if err != nil {
		return nil, err
	}
	recordsErr := v.records.Refresh(ctx, k.Line.Now)
	shared := k.Shared(ctx)
	if err := k.NoteRecords(&shared, recordsErr); err != nil {
		return nil, err
	}
	taken, err := v.q.Taken(ctx, k.Line, maps.Values(v.records.All), WorthReading(k.Line))
	shared.Note(err)
	t := NewTally(shared.At)
	for _, r := range v.records.All {
		t.Add(r)
	}
	s := NewSnapshot(shared, k.Line, t)
	s.Taken = len(taken)
	if v.batch != "" { // only its requests must be looked at one by one
		complete, err := v.backlog.Refresh(ctx, k.Line)
		if err != nil {
			return nil, err
		}
		s.Queued, s.IsCut = slices.Concat(taken, v.backlog.Of(v.batch)), !complete
		for _, all := range [][]operator.Request{taken, v.backlog.Of("")} { // a task can be run again in another batch
			for _, r := range all {
				t.AddRun(r.TaskID)
			}
		}
	}
	t.CountRedriven(func(id string) (string, bool) {
		r := v.records.All[id]
		return r.Batch, r.State == task.Failed
	})
	return s, nil
}
