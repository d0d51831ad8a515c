package inspect

import (
	"time"

	"github.com/capstan-worker/capstan/internal/operator/forecast"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// Without an answer of a worker, nothing is foreseen if no record was written for so long.
	silentFor = time.Minute

	// Nothing is foreseen either if no record was written for so long, and for much longer than tasks run.
	stalledFor = 5 * time.Minute
)

// noWorker is why nothing is foreseen for a queue without workers.
const noWorker = "no worker answers"

// foresee returns when the last task of a status will have ended. lastQueued is the sequence of the last request of its batch
// that is queued.
func (s *Snapshot) foresee(st *Status, c counts, lastQueued uint64) forecast.Estimate {
	unsubmitted := st.Queued + st.Waiting + st.Submitting
	from, why := s.start(unsubmitted > 0)
	if why != "" {
		return forecast.Estimate{Unknown: why}
	}
	if unsubmitted == 0 {
		if c.running == 0 {
			return forecast.Estimate{Unknown: "the open tasks are in a state of a newer version"}
		}
		if rest, ok := s.pace.Rest(st.At.Sub(c.middle()), c.running); ok {
			return rest.After(from)
		}
		return forecast.Estimate{Unknown: "these tasks run for longer than those that have ended"}
	}
	rest, ok := s.pace.After(s.before(lastQueued))
	if !ok {
		return forecast.Estimate{Unknown: "too few tasks have ended to tell"}
	}
	if run, ok := s.pace.Rest(0, 1); ok { // the last one begins before the others have ended
		rest = rest.Max(run)
	}
	return rest.After(from)
}

// quiet returns for how long no record was written.
func (s *Snapshot) quiet() time.Duration { return s.Shared.At.Sub(s.Tally.active) }

// IsQuiet reports whether no record was written for so long that a worker which does not answer does not work either.
func (s *Snapshot) IsQuiet() bool { return s.quiet() > silentFor }

// before returns how many tasks will have ended when the last one of a status has, of whose queued requests this is the last.
func (s *Snapshot) before(lastQueued uint64) int {
	held := max(s.Line.Held, s.Tally.open)
	if lastQueued == 0 {
		return held + s.Line.Queued
	}
	return held + min(s.Line.Place(lastQueued), s.Line.Queued)
}

// start returns the moment from which tasks will be worked on, or why that is not known. toSubmit is whether
// some of them are to be submitted: the others run through every pause.
func (s *Snapshot) start(toSubmit bool) (from time.Time, unknown string) {
	quiet := s.quiet()
	longest, _ := s.pace.Rest(0, 1)
	switch {
	case len(s.Shared.Workers) == 0 && s.IsQuiet():
		return time.Time{}, noWorker
	case quiet > max(stalledFor, 4*longest.Most):
		return time.Time{}, "nothing has happened for a while"
	case !toSubmit:
		return s.Shared.At, ""
	}
	for _, p := range s.Shared.Pauses {
		switch {
		case p.By == ByOperator && p.Until.IsZero():
			return time.Time{}, "submissions are " + p.Text(s.Shared.At)
		case p.By == ByOperator:
			return p.Until, ""
		}
	}
	if reason := s.Shared.everywhere(); ParseWorkerPause(reason).NeedsPerson() {
		return time.Time{}, "submissions are " + reason
	}
	return s.Shared.At, ""
}

// begins foresees when a task will be submitted that has so many before it in line.
func (s *Snapshot) begins(before int) forecast.Estimate {
	from, why := s.start(true)
	if why != "" {
		return forecast.Estimate{Unknown: why}
	}
	free := s.Shared.Limit.InFlight - s.Shared.Limit.Held
	if s.Shared.Limit.InFlight > 0 && before < free {
		return forecast.Estimate{At: from, From: from, To: from}
	}
	rest, ok := s.pace.After(before + 1 - max(free, 0))
	if !ok {
		return forecast.Estimate{Unknown: "too few tasks have ended to tell"}
	}
	return rest.After(from)
}

// ends foresees when the run of a submitted task will end.
func (s *Snapshot) ends(r *task.Record) forecast.Estimate {
	if _, why := s.start(false); why != "" {
		return forecast.Estimate{Unknown: why}
	}
	rest, ok := s.pace.Rest(s.Shared.At.Sub(r.SubmittedAt), 1)
	if !ok {
		return forecast.Estimate{Unknown: "it runs for longer than those that have ended lately"}
	}
	return rest.After(s.Shared.At)
}
