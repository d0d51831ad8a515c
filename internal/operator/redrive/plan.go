// Package redrive runs failed tasks again, by the requests that are kept in their dead letters. A plan says before what it would
// do. Each run of a task has an id of its own, so that no run is repeated.
package redrive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/deadletter"
	"github.com/capstan-worker/capstan/internal/operator/request"
	"github.com/capstan-worker/capstan/internal/task"
)

// Plan is what a redrive would do.
type Plan struct {
	Tasks   []Task    // in the order of their letters
	LeftOut []LeftOut // first those without a letter, and then in the same order

	q       operator.Queue
	changes []Change
}

// Task is a task that is to be run again.
type Task struct {
	TaskID string // of the run that failed
	NewID  string // of the new run
	Code   string // why it failed; "" for a letter of an older version
	Host   string // of its url; "" for none

	Credits *float64 // that it used; nil if that is not known

	letter letter
}

// LeftOut is a task that is chosen by the filter, but not run again.
type LeftOut struct {
	TaskID string
	Why    Reason
	Detail string // more about it, or ""
}

// Reason is why a task is left out.
type Reason string

// The reasons.
const (
	RunAlive      Reason = "a run is queued or in progress"
	RunSucceeded  Reason = "a run has succeeded"
	Redacted      Reason = "its secrets were redacted; use secret_refs, or --set secret_values=…"
	NotKept       Reason = "its body was not kept"
	NotARequest   Reason = "not a valid request"
	ExpiresBefore Reason = "its expires_at has passed; use --set expires_at=…"
	NoID          Reason = "a new run would have no valid task id, which has at most 128 characters"
	BatchCanceled Reason = "its batch is canceled; use --set batch=…, or capstan cancel --batch NAME --undo"
	IDTaken       Reason = "refused, and another request has its task_id; publish it with one of its own"
	NoLetter      Reason = "no dead letter is kept for it, or none within --since; capstan get shows what is known about it"
	TooOld        Reason = "older than TRACKER_TTL, so that nothing tells whether it was redriven; name it with --task"
)

// NewPlan finds the failed tasks that the filter chooses, and what their new requests are, with these changes. It
// changes nothing. Of the letters of a task and its runs only the newest counts, so that a task is run again because of
// how it failed last; that of a request that was refused counts only if the task has no other.
func NewPlan(ctx context.Context, q operator.Queue, f Filter, changes []Change) (*Plan, error) {
	p := &Plan{q: q, changes: changes}
	judge := func(l letter, now time.Time) letter {
		if f.chooses(l) && !l.IsElsewhere() { // what is elsewhere is fetched once it is known to be needed
			_, l.unfit = p.newRequest(ctx, l.Letter, anyRunID, now)
		}
		return l.summary()
	}
	letters, now, err := newestLetters(ctx, q, f.Since, judge)
	if err != nil {
		return nil, err
	}
	p.leaveOutUnknown(f, letters)
	maps.DeleteFunc(letters, func(_ string, l letter) bool { return !f.chooses(l) })
	runs, err := runsOf(ctx, q, letters)
	if err != nil {
		return nil, err
	}
	canceled, err := q.BatchMarks().Refresh(ctx)
	if err != nil {
		return nil, err
	}
	inOrder := slices.SortedFunc(maps.Values(letters), func(a, b letter) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, l := range inOrder {
		base, _ := deadletter.SplitRun(l.TaskID)
		t := Task{TaskID: l.TaskID, NewID: fmt.Sprintf("%s.r%d", base, runs[base].last+1), Code: l.Code, Host: l.Host, Credits: runs[base].credits, letter: l}
		isTooOld := len(f.Tasks) == 0 && now.Sub(l.Stored) > q.Config.Tracker.TTL
		if err := p.add(ctx, t, runs[base], canceled, isTooOld, now); err != nil {
			return nil, fmt.Errorf("look at the dead letter of task %s: %w", l.TaskID, err)
		}
	}
	return p, nil
}

// leaveOutUnknown leaves out the tasks that the filter names and that have no letter.
func (p *Plan) leaveOutUnknown(f Filter, letters map[string]letter) {
	named := map[string]bool{}
	for _, id := range f.Tasks {
		base, _ := deadletter.SplitRun(id)
		if _, hasLetter := letters[base]; !hasLetter && !named[base] {
			named[base] = true
			p.LeftOut = append(p.LeftOut, LeftOut{TaskID: id, Why: NoLetter})
		}
	}
}

// CostText estimates for people what the tasks will cost. It is "" if no record says what one of them cost before.
func (p *Plan) CostText() string {
	var before operator.Cost
	for _, t := range p.Tasks {
		before = before.Plus(nil, t.Credits)
	}
	if before.CreditsKnown == 0 {
		return ""
	}
	text := "about " + operator.CreditsText(before.Credits) + " credits, if they cost what they cost before"
	if before.CreditsKnown < len(p.Tasks) {
		text += fmt.Sprintf(" (known of %d of %d)", before.CreditsKnown, len(p.Tasks))
	}
	return text
}

// RiskText says for people which of the tasks may have done what they were to do, or do it still, and nobody saw it. It is "" if
// there are none.
func (p *Plan) RiskText() string {
	unseen := map[task.Code]int{}
	for _, t := range p.Tasks {
		switch code := task.Code(t.Code); code {
		case task.SubmissionUnknown, task.WorkflowLost, task.Timeout:
			unseen[code]++
		default:
		}
	}
	if len(unseen) == 0 {
		return ""
	}
	sum, parts := 0, []string(nil)
	for _, code := range slices.Sorted(maps.Keys(unseen)) {
		sum += unseen[code]
		parts = append(parts, fmt.Sprintf("%s %d", code, unseen[code]))
	}
	return fmt.Sprintf("%d of them may have acted, or run still, without anybody seeing the end (%s): they would act twice", sum, strings.Join(parts, ", "))
}

// anyRunID is the id of a run for as long as its own is not known.
const anyRunID = "task.r1"

// add adds a task to those that are run again, or to those that are left out. The error says that it cannot be told.
func (p *Plan) add(ctx context.Context, t Task, runs taskRuns, canceled map[string]task.Cancellation, isTooOld bool, now time.Time) error {
	err, batch := t.letter.unfit, p.batchOf(t.letter.Letter)
	_, isCanceled := canceled[batch]
	switch {
	case runs.why() != "":
		err = unfitError{why: runs.why()}
	case isCanceled:
		err = unfitError{BatchCanceled, batch}
	case isTooOld:
		err = unfitError{why: TooOld}
	case err != nil:
	case request.CheckTaskID(t.NewID) != nil:
		err = unfitError{why: NoID}
	case t.letter.IsElsewhere():
		_, err = p.newRequest(ctx, t.letter.Letter, t.NewID, now)
	}
	unfit, isUnfit := errors.AsType[unfitError](err)
	switch {
	case isUnfit:
		p.LeftOut = append(p.LeftOut, LeftOut{t.TaskID, unfit.why, unfit.detail})
	case err != nil:
		return err
	default:
		p.Tasks = append(p.Tasks, t)
	}
	return nil
}
