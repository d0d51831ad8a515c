package operator

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/task"
)

// Status is how far a queue or a batch is. Its JSON is public: names are never changed.
type Status struct {
	At    time.Time `json:"at"` // by the clock of the NATS server
	Batch string    `json:"batch,omitempty"`

	Queued        int                     `json:"queued"`                    // no worker has taken them
	QueuedAtLeast bool                    `json:"queued_at_least,omitempty"` // there were too many to look at each
	Waiting       int                     `json:"waiting"`                   // on workers, not submitted
	WaitsFor      map[task.WaitReason]int `json:"waits_for,omitempty"`       // of these, by reason
	Submitting    int                     `json:"submitting"`
	Running       int                     `json:"running"`
	Succeeded     int                     `json:"succeeded"`
	Failed        int                     `json:"failed"`
	FailedByCode  map[task.Code]int       `json:"failed_by_code,omitempty"`

	PerMinute float64   `json:"per_minute"`        // tasks that ended lately, also of other batches; 0: too few to say
	LastEnd   time.Time `json:"last_end,omitzero"` // when a task last ended
	Done      Estimate  `json:"done,omitzero"`     // when all will have ended; zero if all have

	Limit   LimitUse       `json:"limit"`
	Pauses  []PausedBy     `json:"pauses,omitempty"`
	Workers []fleet.Status `json:"workers"`
	Notes   []string       `json:"notes,omitempty"` // what could not be read
}

// Open returns the number of tasks that have not ended.
func (s *Status) Open() int { return s.Queued + s.Waiting + s.Submitting + s.Running }

// LimitUse is how many tasks the workers hold at once.
type LimitUse struct {
	InFlight int    `json:"in_flight"` // 0: not known
	Plan     int    `json:"plan"`      // browsers of the plan; -1: no limit; 0: not known
	Held     int    `json:"held"`      // tasks that workers hold now
	Reason   string `json:"reason,omitempty"`
}

// PausedBy is why nothing is submitted.
type PausedBy struct {
	By       string    `json:"by"`                 // ByOperator, or the names of workers
	Operator string    `json:"operator,omitempty"` // the operator's name, if it is known
	Reason   string    `json:"reason"`             // an operator's, which may be empty, or what the workers say
	Until    time.Time `json:"until,omitzero"`     // of an operator's pause; zero: until it is taken back
}

// ByOperator is the By of an operator's pause.
const ByOperator = "operator"

// Text returns the pause for people, with its end in local time: "paused by ada until 06:00: maintenance".
func (p PausedBy) Text(now time.Time) string {
	if p.By != ByOperator {
		return p.Reason
	}
	text := "paused"
	if p.Operator != "" {
		text += " by " + p.Operator
	}
	if !p.Until.IsZero() {
		text += " until " + Clock(p.Until, now)
	}
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

// View looks at a queue again and again. Each look reads only what is new.
type View struct {
	q        Queue
	batch    string
	records  *records
	backlog  *backlog
	refusals *refusals
}

// View returns a view of a batch, or of the whole queue if that is empty. It reads nothing yet.
func (q Queue) View(batch string) *View {
	return &View{q: q, batch: batch, records: q.newRecords(nil), backlog: q.newBacklog(), refusals: q.newRefusals()}
}

// Status looks once. The error is a *MissingError if there is neither a stream of requests nor a bucket of records. What else
// cannot be read is named in the notes.
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
	l, err := v.q.line(ctx)
	noStream := isMissing(err)
	switch {
	case noStream:
		s.Notes, l.now = append(s.Notes, err.Error()), time.Now()
	case err != nil:
		return s, t, err
	}
	s.At = l.now.UTC()
	if err := v.records.refresh(ctx, s.At); isMissing(err) && !noStream {
		s.Notes = append(s.Notes, err.Error())
	} else if err != nil {
		return s, t, err
	}
	t = tallyOf(v.records.all, v.batch, s.At)
	s.take(t)
	if err := v.countQueued(ctx, &s, l); err != nil {
		return s, t, err
	}
	v.readControl(ctx, &s, l)
	asked := <-workers
	s.note(asked.err)
	s.takeWorkers(asked.all)
	t.pace.most = s.Limit.InFlight
	v.estimate(&s, t, l)
	return s, t, nil
}

// take takes the counts of the records.
func (s *Status) take(t tally) {
	s.Waiting, s.Submitting, s.Running = t.states[task.Waiting], t.states[task.Submitting], t.states[task.Running]
	s.Succeeded, s.Failed = t.states[task.Succeeded], t.states[task.Failed]
	s.FailedByCode, s.WaitsFor, s.LastEnd = t.codes, t.waits, t.lastEnd
}

// note adds what could not be read. A stream of results that is missing has no events.
func (s *Status) note(err error) {
	if err != nil && !isMissing(err) {
		s.Notes = append(s.Notes, err.Error())
	}
}

// countQueued counts the requests that no worker has taken. Only those of a batch must be looked at one by one.
func (v *View) countQueued(ctx context.Context, s *Status, l line) error {
	if s.Queued = l.queued; v.batch == "" {
		return nil
	}
	complete, err := v.backlog.refresh(ctx, l)
	if err != nil {
		return err
	}
	s.Queued, s.QueuedAtLeast = len(v.backlog.of(v.batch)), !complete
	return nil
}

// readControl reads the limit and the pause.
func (v *View) readControl(ctx context.Context, s *Status, l line) {
	c, err := v.q.limit(ctx)
	s.note(err)
	s.Limit = LimitUse{InFlight: c.InFlight, Plan: c.Plan, Held: l.held, Reason: c.Reason}
	if s.Limit.InFlight == 0 {
		s.Limit.InFlight = l.most
	}
	if err != nil { // the second call would not be answered either
		return
	}
	p, err := v.q.pause(ctx)
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

// takeWorkers takes the workers, and their pauses by reason.
func (s *Status) takeWorkers(all []fleet.Status) {
	s.Workers = append(s.Workers, all...)
	by := map[string][]string{}
	for _, w := range all {
		if reason := s.ownPause(w.Submissions); reason != "" {
			by[reason] = append(by[reason], w.Worker)
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		s.Pauses = append(s.Pauses, PausedBy{By: strings.Join(by[reason], ", "), Reason: reason})
	}
}

// ownPause returns what a worker says of its submissions apart from the operator's pause, or "" if nothing else stops them.
func (s *Status) ownPause(submissions string) string {
	if submissions == "ok" {
		return ""
	}
	p := s.operatorsPause()
	if p == nil {
		return submissions
	}
	same := task.Pause{Reason: p.Reason, By: p.Operator, Until: p.Until}.String()
	if submissions == same {
		return ""
	}
	return strings.TrimPrefix(submissions, same+"; ")
}
