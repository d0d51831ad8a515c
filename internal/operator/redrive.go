package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/jet"
)

// RedriveFilter chooses failed tasks by their newest dead letter. A field that is empty chooses all.
type RedriveFilter struct {
	Codes []string
	Hosts []string
	Tasks []string // ids, of the task or of one of its runs
	Batch string
	Since time.Duration // the letter was stored at most so long ago
}

// IsEmpty reports whether the filter chooses every task.
func (f RedriveFilter) IsEmpty() bool {
	return len(f.Codes) == 0 && len(f.Hosts) == 0 && len(f.Tasks) == 0 && f.Batch == "" && f.Since == 0
}

// Redrive is what a redrive would do.
type Redrive struct {
	Tasks   []RedriveTask // in the order of their letters
	LeftOut []LeftOut     // in the same order

	q       Queue
	changes []Change
}

// RedriveTask is a task that is to be run again.
type RedriveTask struct {
	TaskID string // of the run that failed
	NewID  string // of the new run
	Code   string // why it failed; "" for a letter of an older version
	Host   string // of its url; "" for none

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
	BatchCanceled Reason = "its batch is canceled; use --set batch=…"
	IDTaken       Reason = "refused, and another request has its task_id; publish it with one of its own"
	TooOld        Reason = "older than TRACKER_TTL, so that nothing tells whether it was redriven; name it with --task"
)

// PlanRedrive finds the failed tasks that the filter chooses, and what their new requests are, with these changes. It
// changes nothing. Of the letters of a task and its runs only the newest counts, so that a task is run again because of
// how it failed last; that of a request that was refused counts only if the task has no other.
func (q Queue) PlanRedrive(ctx context.Context, f RedriveFilter, changes []Change) (*Redrive, error) {
	r := &Redrive{q: q, changes: changes}
	inspect := func(l letter, now time.Time) letter {
		if f.chooses(l) && !l.isElsewhere() { // what is elsewhere is fetched once it is known to be needed
			_, l.unfit = r.request(ctx, l, anyRunID, now)
		}
		return l.summary()
	}
	letters, now, err := q.newestLetters(ctx, f.Since, inspect)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(letters, func(_ string, l letter) bool { return !f.chooses(l) })
	runs, err := q.runsOf(ctx, letters)
	if err != nil {
		return nil, err
	}
	canceled, err := q.canceledBatches(ctx)
	if err != nil {
		return nil, err
	}
	inOrder := slices.SortedFunc(maps.Values(letters), func(a, b letter) int { return cmp.Compare(a.seq, b.seq) })
	for _, l := range inOrder {
		base, _ := splitRun(l.taskID)
		t := RedriveTask{TaskID: l.taskID, NewID: fmt.Sprintf("%s.r%d", base, runs[base].last+1), Code: l.code, Host: l.host, letter: l}
		isTooOld := len(f.Tasks) == 0 && now.Sub(l.stored) > q.Config.Tracker.TTL
		if err := r.add(ctx, t, runs[base], canceled, isTooOld, now); err != nil {
			return nil, fmt.Errorf("look at the dead letter of task %s: %w", l.taskID, err)
		}
	}
	return r, nil
}

// anyRunID is the id of a run for as long as its own is not known.
const anyRunID = "task.r1"

// add adds a task to those that are run again, or to those that are left out. The error says that it cannot be told.
func (r *Redrive) add(ctx context.Context, t RedriveTask, runs taskRuns, canceled map[string]bool, isTooOld bool, now time.Time) error {
	err, batch := t.letter.unfit, r.batchOf(t.letter)
	switch {
	case runs.why() != "":
		err = unfitError{why: runs.why()}
	case canceled[batch]:
		err = unfitError{BatchCanceled, batch}
	case isTooOld:
		err = unfitError{why: TooOld}
	case err != nil:
	case CheckTaskID(t.NewID) != nil:
		err = unfitError{why: NoID}
	case t.letter.isElsewhere():
		_, err = r.request(ctx, t.letter, t.NewID, now)
	}
	unfit, isUnfit := errors.AsType[unfitError](err)
	switch {
	case isUnfit:
		r.LeftOut = append(r.LeftOut, LeftOut{t.TaskID, unfit.why, unfit.detail})
	case err != nil:
		return err
	default:
		r.Tasks = append(r.Tasks, t)
	}
	return nil
}

// chooses reports whether the filter chooses the task of a letter.
func (f RedriveFilter) chooses(l letter) bool {
	isOneOf := func(value string, values []string) bool { return len(values) == 0 || slices.Contains(values, value) }
	base, _ := splitRun(l.taskID)
	isTask := func(id string) bool {
		chosen, _ := splitRun(id)
		return chosen == base
	}
	return isOneOf(l.code, f.Codes) && isOneOf(l.host, f.Hosts) && (f.Batch == "" || l.batch == f.Batch) &&
		(len(f.Tasks) == 0 || slices.ContainsFunc(f.Tasks, isTask))
}

// canceledBatches returns the batches whose tasks are canceled. A bucket that does not exist has no marks.
func (q Queue) canceledBatches(ctx context.Context) (map[string]bool, error) {
	canceled := map[string]bool{}
	if _, err := q.controlStream(ctx); isMissing(err) {
		return canceled, nil
	} else if err != nil {
		return nil, err
	}
	bucket := q.Config.Control
	prefix := jet.BucketSubject(bucket.Bucket, control.CancelBatchPrefix)
	marks := q.newTail(bucket.Stream(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{prefix + ">"}})
	err := marks.read(ctx, nil, func(msg jetstream.Msg) error {
		canceled[strings.TrimPrefix(msg.Subject(), prefix)] = !isDeleted(msg)
		return nil
	})
	return canceled, err
}
