package inspect

import (
	"fmt"
	"time"
)

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
