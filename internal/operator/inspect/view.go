package inspect

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator"
)

// View looks at a queue again and again. Each look reads only what is new.
type View struct {
	q        operator.Queue
	batch    string
	records  *operator.Records
	backlog  *operator.Backlog
	refusals *refusals
}

// NewView returns a view of a batch, or of the whole queue if that is empty. It reads nothing yet.
func NewView(q operator.Queue, batch string) *View {
	return &View{q: q, batch: batch, records: q.Records(nil), backlog: q.Backlog(), refusals: newRefusals(q)}
}

// Status looks once. The error is an *operator.MissingError if there is neither a stream of requests nor a bucket of
// records. What else cannot be read is named in the notes.
func (v *View) Status(ctx context.Context) (Status, error) {
	s, _, err := v.look(ctx)
	if err != nil {
		return s, err
	}
	s.note(v.refusals.refresh(ctx))
	for code, n := range v.refusals.of(v.batch) {
		s.Failed += n
		s.FailedByCode[code] += n
	}
	return s, nil
}

// look looks once, at everything but the requests that were refused.
func (v *View) look(ctx context.Context) (s Status, t tally, err error) {
	s = Status{Batch: v.batch, Workers: []fleet.Status{}}
	workers := v.askWorkers(ctx)
	l, err := v.q.Line(ctx)
	noStream := operator.IsMissing(err)
	switch {
	case noStream:
		s.Notes, l.Now = append(s.Notes, err.Error()), time.Now()
	case err != nil:
		return s, t, err
	}
	s.At = l.Now.UTC()
	if err := v.records.Refresh(ctx, s.At); operator.IsMissing(err) && !noStream {
		s.Notes = append(s.Notes, err.Error())
	} else if err != nil {
		return s, t, err
	}
	t = tallyOf(v.records.All, v.batch, s.At)
	s.take(t)
	if err := v.countQueued(ctx, &s, l); err != nil {
		return s, t, err
	}
	v.readControl(ctx, &s, l)
	asked := <-workers
	s.note(asked.err)
	s.takeWorkers(asked.all)
	t.pace.Most = s.Limit.InFlight
	v.estimate(&s, t, l)
	return s, t, nil
}

// countQueued counts the requests that no worker has taken. Only those of a batch must be looked at one by one.
func (v *View) countQueued(ctx context.Context, s *Status, l operator.Line) error {
	if s.Queued = l.Queued; v.batch == "" {
		return nil
	}
	complete, err := v.backlog.Refresh(ctx, l)
	if err != nil {
		return err
	}
	s.Queued, s.QueuedAtLeast = len(v.backlog.Of(v.batch)), !complete
	return nil
}

// readControl reads the limit and the pause.
func (v *View) readControl(ctx context.Context, s *Status, l operator.Line) {
	c, err := v.q.Limit(ctx)
	s.note(err)
	s.Limit = LimitUse{InFlight: c.InFlight, Plan: c.Plan, Held: l.Held, Reason: c.Reason}
	if s.Limit.InFlight == 0 {
		s.Limit.InFlight = l.Most
	}
	if err != nil { // the second call would not be answered either
		return
	}
	p, err := v.q.CurrentPause(ctx)
	s.note(err)
	if p != nil {
		s.Pauses = append(s.Pauses, PausedBy{By: ByOperator, Operator: p.By, Reason: p.Reason, Until: p.Until})
	}
}

// answers is what the workers say of themselves.
type answers struct {
	all []fleet.Status
	err error
}

// askWorkers asks all workers, meanwhile.
func (v *View) askWorkers(ctx context.Context) <-chan answers {
	asked := make(chan answers, 1)
	go func() {
		all, err := fleet.All(ctx, v.q.Conn)
		slices.SortFunc(all, func(a, b fleet.Status) int { return strings.Compare(a.Worker, b.Worker) })
		asked <- answers{all, err}
	}()
	return asked
}
