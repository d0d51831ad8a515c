package inspect

import (
	"context"
	"fmt"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/forecast"
	"github.com/capstan-worker/capstan/internal/task"
)

// Reader is where the sentences about a task are read. They point to what can be done there.
type Reader int

// The readers, with what the sentences point to.
const (
	InShell Reader = iota // commands of the tool
	OnPage                // the buttons and texts of the task's page
)

// Why says in a few sentences what a task waits for and when it is likely to begin or to end or, if it has ended, why and
// what to do. The texts in it come from others: escape them before you print them. nextPoll may be nil.
func Why(ctx context.Context, q operator.Queue, id string, nextPoll NextPoll) (string, Task, error) {
	found, err := Find(ctx, q, id, nextPoll)
	if err != nil {
		return "", found, err
	}
	if !found.State.IsOpen() {
		return (&Snapshot{}).Explain(found, InShell), found, nil
	}
	s, err := NewView(q, "").look(ctx)
	if err != nil {
		return "", found, err
	}
	return s.Explain(found, InShell), found, nil
}

// Explain says about a task what Why says, to a reader. Of one that has ended, it needs nothing of the snapshot.
func (s *Snapshot) Explain(t Task, r Reader) string {
	f := finding{task: t, reader: r, status: Status{At: time.Now()}}
	if t.State.IsOpen() {
		f.status = s.Status("")
		f.foresee(s)
	}
	return f.sentences()
}

// finding is a task among all others.
type finding struct {
	task   Task
	reader Reader
	status Status            // only its time, if the task has ended
	place  int               // in line, from 1 on; 0: it is submitted
	begins forecast.Estimate // when it will be submitted
	ends   forecast.Estimate // when its run will end
}

// foresee fills in the place in line and the estimates.
func (f *finding) foresee(s *Snapshot) {
	switch f.task.State {
	case Queued:
		f.place = s.Place(f.task.Position)
		f.begins = s.begins(f.task.Position - 1)
	case State(task.Waiting):
		before := s.Tally.waitingBefore(f.task.Record)
		f.place = before + 1
		f.begins = s.begins(before)
	case State(task.Running):
		f.ends = s.ends(f.task.Record)
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
	case Unknown:
		return fmt.Sprintf("There is no trace of %s: its request was never published, or it ended so long ago that its record and its event have expired.", id)
	default:
		return fmt.Sprintf("%s is %q, a state of a newer version of Capstan: ask with that version.", id, f.task.State)
	}
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
