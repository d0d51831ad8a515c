package operator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// Why says in a few sentences what a task waits for and when it is likely to begin or to end or, if it has ended, why and
// what to do. The texts in it come from others: escape them before you print them. nextPoll may be nil.
func (q Queue) Why(ctx context.Context, id string, nextPoll NextPoll) (string, Task, error) {
	found, err := q.Find(ctx, id, nextPoll)
	if err != nil {
		return "", found, err
	}
	f := finding{task: found}
	if found.isOpen() {
		v := q.View("")
		s, t, err := v.look(ctx)
		if err != nil {
			return "", found, err
		}
		f.status = s
		f.foresee(t, v.records.all)
	}
	return f.sentences(), found, nil
}

// isOpen reports whether the task has not ended.
func (t Task) isOpen() bool {
	switch t.State {
	case Queued, State(task.Waiting), State(task.Submitting), State(task.Running):
		return true
	default:
		return false
	}
}

// finding is a task among all others.
type finding struct {
	task   Task
	status Status
	place  int      // in line, from 1 on; 0: it is submitted
	begins Estimate // when it will be submitted
	ends   Estimate // when its run will end
}

// foresee fills in the place in line and the estimates.
func (f *finding) foresee(t tally, all map[string]task.Record) {
	switch f.task.State {
	case Queued:
		f.place = t.states[task.Waiting] + f.task.Position
		f.begins = f.status.begins(t, f.task.Position-1)
	case State(task.Waiting):
		before := waitingBefore(all, *f.task.Record)
		f.place = before + 1
		f.begins = f.status.begins(t, before)
	case State(task.Running):
		f.ends = Estimate{Unknown: "it runs for longer than those that have ended lately"}
		if rest, ok := t.pace.rest(f.status.At.Sub(f.task.Record.SubmittedAt), 1); ok {
			f.ends = rest.after(f.status.At)
		}
	default:
	}
}

// sentences says what the finding means.
func (f *finding) sentences() string {
	id := f.task.ID
	switch f.task.State {
	case Queued:
		return f.queued()
	case State(task.Waiting):
		return f.waiting()
	case State(task.Submitting):
		return f.submitting()
	case State(task.Running):
		return f.running()
	case State(task.Succeeded):
		return id + " succeeded" + f.ended() + "."
	case Refused, Canceled, State(task.Failed):
		return f.failed()
	default:
		return fmt.Sprintf("There is no trace of %s: its request was never published, or it ended so long ago that its record and its event have expired.", id)
	}
}

// queued explains a request that no worker has taken.
func (f *finding) queued() string {
	id, s := f.task.ID, &f.status
	switch pause := s.operatorsPause(); {
	case f.task.Cancel != nil:
		return fmt.Sprintf("%s is %s. It is queued until a worker takes it, and is never submitted.", id, f.task.Cancel)
	case pause != nil:
		return fmt.Sprintf("%s waits: submissions are %s. %s", id, pause.Text(s.At), f.inLine())
	case len(s.Workers) == 0 && s.Limit.Held == 0:
		return fmt.Sprintf("%s is queued, and no worker answers: start one, or run capstan check with its settings. It is %s in line.", id, ordinal(f.place))
	default:
		return fmt.Sprintf("%s %s. %s", id, s.forPlace(), f.inLine())
	}
}

// forPlace says whether a task that is queued has to wait for others.
func (s *Status) forPlace() string {
	switch l := s.Limit; {
	case l.InFlight == 0 || l.Held < l.InFlight:
		return "is queued, and workers have places for more tasks"
	case l.Plan > 0 && l.InFlight >= l.Plan:
		return fmt.Sprintf("waits for a browser: the plan has %d, all are in use", l.Plan)
	case l.Reason != "":
		return fmt.Sprintf("waits for a place: the workers hold %d tasks at once (%s), and that many are in progress", l.InFlight, l.Reason)
	default:
		return fmt.Sprintf("waits for a place: the workers hold %d tasks at once, and that many are in progress", l.InFlight)
	}
}

// waiting explains a task that a worker holds and has not submitted.
func (f *finding) waiting() string {
	if c := f.task.Cancel; c != nil {
		return fmt.Sprintf("%s is %s. It ends within moments, and is never submitted.", f.task.ID, c)
	}
	return fmt.Sprintf("%s %s. %s", f.task.ID, f.reason(), f.inLine())
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
		return "waits for a browser: the API has refused it because all of the plan's are in use"
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

// submitting explains a task whose POST is under way, or was.
func (f *finding) submitting() string {
	r := f.task.Record
	if r.PostUntil.IsZero() {
		return fmt.Sprintf("%s is being submitted by %s.", r.TaskID, r.Owner)
	}
	if f.status.At.Before(r.PostUntil) {
		return fmt.Sprintf("%s is being submitted by %s. The answer is due by %s.", r.TaskID, r.Owner, f.clock(r.PostUntil))
	}
	return fmt.Sprintf("%s was being submitted by %s, and no answer was recorded by %s: the worker may have died. "+
		"Another one takes the task over and ends it with submission_unknown, or submits it again if the request allows that.", r.TaskID, r.Owner, f.clock(r.PostUntil))
}

// running explains a task whose workflow runs.
func (f *finding) running() string {
	r := f.task.Record
	text := fmt.Sprintf("%s has run since %s, for %s, on %s.", r.TaskID, f.clock(r.SubmittedAt), f.status.At.Sub(r.SubmittedAt).Round(time.Second), r.Owner)
	if r.Run > 0 {
		text += fmt.Sprintf(" This is its %s run: %s.", ordinal(r.Run+1), f.lastRun())
	}
	if f.task.Cancel != nil {
		return text + fmt.Sprintf(" It is %s, and ends within moments.", f.task.Cancel)
	}
	if f.ends.IsKnown() {
		text += fmt.Sprintf(" By the tasks that ended lately, it is likely to end at %s (between %s and %s).", f.clock(f.ends.At), f.clock(f.ends.From), f.clock(f.ends.To))
	} else {
		text += " When it will end is not known: " + f.ends.Unknown + "."
	}
	if !f.task.NextPoll.IsZero() {
		text += " Its next poll is at " + f.clock(f.task.NextPoll) + "."
	}
	return text
}

// inLine says where the task stands, and when it will begin.
func (f *finding) inLine() string {
	at := fmt.Sprintf("It is %s in line", ordinal(f.place))
	switch b := f.begins; {
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

// operatorsPause returns the pause of an operator, or nil.
func (s *Status) operatorsPause() *PausedBy {
	for i := range s.Pauses {
		if s.Pauses[i].By == ByOperator {
			return &s.Pauses[i]
		}
	}
	return nil
}

// clock returns a moment as seen from the finding's. See Clock.
func (f *finding) clock(at time.Time) string { return Clock(at, f.status.At) }

// ordinal is 1st, 2nd, 3rd and so on.
func ordinal(n int) string {
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			suffix = "st"
		case 2:
			suffix = "nd"
		case 3:
			suffix = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, suffix)
}
