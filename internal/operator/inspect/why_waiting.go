package inspect

import (
	"fmt"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// queued explains a request that no worker has taken.
func (f *finding) queued() string {
	id, s := f.task.ID, &f.status
	switch pause, everywhere := s.OperatorsPause(), s.everywhere(); {
	case f.task.Cancel != nil:
		return fmt.Sprintf("%s is %s. It is queued until a worker takes it, and is never submitted.", id, f.task.Cancel)
	case pause != nil:
		return f.inLine("waits: submissions are " + pause.Text(s.At))
	case len(s.Workers) == 0 && (s.Limit.Held == 0 || f.begins.Unknown == noWorker):
		return fmt.Sprintf("%s is queued, and no worker answers: start one, or run capstan check with its settings. It is %s in line.", id, ordinal(f.place))
	case everywhere != "":
		return f.inLine("waits: submissions are " + everywhere)
	default:
		return f.inLine(s.forPlace())
	}
}

// forPlace says whether a task that is queued has to wait for others.
func (s *Status) forPlace() string {
	switch l := s.Limit; {
	case l.InFlight == 0 || l.Held < l.InFlight:
		return "is queued, and workers have free slots"
	case l.Plan > 0 && l.InFlight >= l.Plan:
		return fmt.Sprintf("waits for a browser: the plan has %d, all are in use", l.Plan)
	case l.Reason != "":
		return fmt.Sprintf("waits for a free slot: the workers hold %d tasks at once (%s), and that many are in progress", l.InFlight, l.Reason)
	default:
		return fmt.Sprintf("waits for a free slot: the workers hold %d tasks at once, and that many are in progress", l.InFlight)
	}
}

// waiting explains a task that a worker holds and has not submitted.
func (f *finding) waiting() string {
	if c := f.task.Cancel; c != nil {
		return fmt.Sprintf("%s is %s. It ends within moments, and is never submitted.", f.task.ID, c)
	}
	return f.inLine(f.reason())
}

// reason says what a waiting task waits for.
func (f *finding) reason() string {
	r := f.task.Record
	until := ""
	if r.WaitsUntil.After(f.status.At) {
		until = " until " + f.clock(r.WaitsUntil)
	}
	switch r.WaitsFor {
	case task.ForPause:
		for _, p := range f.status.Pauses { // an operator's comes first
			return "waits: submissions are " + withPaused(p.Text(f.status.At))
		}
		return "waits: submissions are paused" + until
	case task.ForRate:
		return "waits for the rate limit: the API accepts no more submissions" + orNow(until)
	case task.ForPlan:
		if plan := f.status.Limit.Plan; plan > 0 {
			return fmt.Sprintf("waits for a browser: the plan has %d, all are in use", plan)
		}
		return "waits for a browser: the API has refused it because all browsers of the plan are in use"
	case task.ForSlots:
		return "waits for other submissions that are under way, or before it in line"
	case task.ForRetry:
		return fmt.Sprintf("waits for its %s run, which begins%s: %s", ordinal(r.Run+1), orSoon(until), f.lastRun())
	default:
		return "is about to be submitted by " + r.Owner
	}
}

// withPaused returns the reason of a pause as the rest of "submissions are".
func withPaused(reason string) string {
	if strings.HasPrefix(reason, "paused") {
		return reason
	}
	return "paused: " + reason
}

// orNow returns until, or else that it is now.
func orNow(until string) string {
	if until == "" {
		return " now"
	}
	return until
}

// orSoon returns when something begins, in the place of until when it waits.
func orSoon(until string) string {
	if until == "" {
		return " soon"
	}
	return strings.Replace(until, " until ", " at ", 1)
}

// lastRun says how the run before this one failed.
func (f *finding) lastRun() string {
	runs := f.task.Record.Runs
	if len(runs) == 0 {
		return "the one before failed"
	}
	last := runs[len(runs)-1]
	return fmt.Sprintf("the %s failed with %s", ordinal(len(runs)), last.Code)
}

// inLine says why the task waits, where it stands, and when it will begin.
func (f *finding) inLine(reason string) string {
	at := fmt.Sprintf("%s %s. It is %s in line", f.task.ID, reason, ordinal(f.place))
	switch b := f.begins; {
	case !b.IsKnown() && strings.HasSuffix(reason, b.Unknown):
		return at + "; when it will begin is not known."
	case !b.IsKnown():
		return at + "; when it will begin is not known: " + b.Unknown + "."
	case b.To.Sub(f.status.At) < time.Second:
		return at + " and begins within moments."
	case b.To.Equal(b.From):
		return at + " and likely to begin at " + f.clock(b.At) + "."
	default:
		return at + fmt.Sprintf(" and likely to begin at %s (between %s and %s).", f.clock(b.At), f.clock(b.From), f.clock(b.To))
	}
}
