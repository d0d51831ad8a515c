package inspect

import (
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/forecast"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// Without an answer of a worker, nothing is foreseen if no record was written for so long.
	silentFor = time.Minute

	// Nothing is foreseen either if no record was written for so long, and for much longer than tasks run.
	stalledFor = 5 * time.Minute
)

// estimate foresees when all tasks of the view will have ended.
func (v *View) estimate(s *Status, t tally, l operator.Line) {
	s.PerMinute = t.pace.PerMinute()
	if s.Open() > 0 {
		s.Done = v.foresee(s, t, l)
	}
}

// foresee returns when the last task of the view will have ended.
func (v *View) foresee(s *Status, t tally, l operator.Line) forecast.Estimate {
	unsubmitted := s.Queued + s.Waiting + s.Submitting
	from, why := s.start(t, unsubmitted > 0)
	if why != "" {
		return forecast.Estimate{Unknown: why}
	}
	if unsubmitted == 0 {
		middle := t.running[len(t.running)/2]
		if rest, ok := t.pace.Rest(s.At.Sub(middle), len(t.running)); ok {
			return rest.After(from)
		}
		return forecast.Estimate{Unknown: "these tasks run for longer than those that have ended"}
	}
	rest, ok := t.pace.After(v.before(s, t, l))
	if !ok {
		return forecast.Estimate{Unknown: "too few tasks have ended to tell"}
	}
	if run, ok := t.pace.Rest(0, 1); ok { // the last one begins before the others have ended
		rest = rest.Max(run)
	}
	return rest.After(from)
}

// before returns how many tasks will have ended when the last one of the view has.
func (v *View) before(s *Status, t tally, l operator.Line) int {
	held := max(l.Held, t.open)
	if v.batch == "" || s.Queued == 0 {
		return held + s.Queued
	}
	last := v.backlog.Of(v.batch)
	return held + min(l.Place(last[len(last)-1].Seq), l.Queued)
}

// start returns the moment from which tasks will be worked on, or why that is not known. toSubmit is whether
// some of them are to be submitted: the others run through every pause.
func (s *Status) start(t tally, toSubmit bool) (from time.Time, unknown string) {
	quiet := s.At.Sub(t.active)
	longest, _ := t.pace.Rest(0, 1)
	switch {
	case len(s.Workers) == 0 && quiet > silentFor:
		return time.Time{}, "no worker answers"
	case quiet > max(stalledFor, 4*longest.Most):
		return time.Time{}, "nothing has happened for a while"
	case !toSubmit:
		return s.At, ""
	}
	for _, p := range s.Pauses {
		switch {
		case p.By == ByOperator && p.Until.IsZero():
			return time.Time{}, "submissions are " + p.Text(s.At)
		case p.By == ByOperator:
			return p.Until, ""
		}
	}
	return s.At, ""
}

// begins foresees when a task will be submitted that has so many before it in line.
func (s *Status) begins(t tally, before int) forecast.Estimate {
	from, why := s.start(t, true)
	if why != "" {
		return forecast.Estimate{Unknown: why}
	}
	free := s.Limit.InFlight - s.Limit.Held
	if s.Limit.InFlight > 0 && before < free {
		return forecast.Estimate{At: from, From: from, To: from}
	}
	rest, ok := t.pace.After(before + 1 - max(free, 0))
	if !ok {
		return forecast.Estimate{Unknown: "too few tasks have ended to tell"}
	}
	return rest.After(from)
}

// waitingBefore returns how many waiting tasks came before one.
func waitingBefore(all map[string]task.Record, r task.Record) (n int) {
	for _, other := range all {
		if other.State == task.Waiting && other.RequestSeq < r.RequestSeq {
			n++
		}
	}
	return n
}
