package inspect

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator"
)

// Look is a look at a queue that is under way. It asks the workers meanwhile.
type Look struct {
	Line operator.Line // only its time, if there is no stream of requests

	q        operator.Queue
	workers  <-chan answers
	noStream error // there is no stream of requests
	isAsked  bool  // the workers could be asked
}

// answers is what the workers say of themselves.
type answers struct {
	all []fleet.Status
	err error
}

// BeginLook begins to look at a queue. A stream of requests that is missing is no error.
func BeginLook(ctx context.Context, q operator.Queue) (*Look, error) {
	k := &Look{q: q, workers: askWorkers(ctx, q)}
	var err error
	k.Line, err = q.Line(ctx)
	if operator.IsMissing(err) {
		k.noStream, k.Line.Now = err, time.Now()
		err = nil
	}
	return k, err
}

// askWorkers asks all workers, meanwhile.
func askWorkers(ctx context.Context, q operator.Queue) <-chan answers {
	asked := make(chan answers, 1)
	go func() {
		all, err := fleet.All(ctx, q.Conn)
		slices.SortFunc(all, func(a, b fleet.Status) int { return strings.Compare(a.Worker, b.Worker) })
		asked <- answers{all, err}
	}()
	return asked
}

// Shared returns what is the same for all batches: the time, the limit, the pauses and the workers. It can be called once.
// What cannot be read is named in the notes.
func (k *Look) Shared(ctx context.Context) Status {
	s := Status{At: k.Line.Now.UTC(), Workers: []fleet.Status{}}
	if k.noStream != nil {
		s.Notes = append(s.Notes, k.noStream.Error())
	}
	k.readControl(ctx, &s)
	asked := <-k.workers
	k.isAsked = asked.err == nil
	s.Note(asked.err)
	s.takeWorkers(asked.all)
	return s
}

// IsUnanswered reports whether the workers were asked and none answered. Call it after Shared, with what that returned.
func (k *Look) IsUnanswered(s Status) bool { return k.isAsked && len(s.Workers) == 0 }

// NoteRecords notes in a status that there is no bucket of records. It returns any other error, and this one if there is no
// stream of requests either.
func (k *Look) NoteRecords(s *Status, err error) error {
	if !operator.IsMissing(err) || k.noStream != nil {
		return err
	}
	s.Notes = append(s.Notes, err.Error())
	return nil
}

// readControl reads the limit and the pause.
func (k *Look) readControl(ctx context.Context, s *Status) {
	c, err := k.q.Limit(ctx)
	s.Note(err)
	s.Limit = LimitUse{InFlight: c.InFlight, Plan: c.Plan, Held: k.Line.Held, Reason: c.Reason}
	if s.Limit.InFlight == 0 {
		s.Limit.InFlight = k.Line.Most
	}
	if err != nil { // the second call would not be answered either
		return
	}
	p, err := k.q.CurrentPause(ctx)
	s.Note(err)
	if p != nil {
		s.Pauses = append(s.Pauses, PausedBy{By: ByOperator, Operator: p.By, Reason: p.Reason, Until: p.Until})
	}
}
