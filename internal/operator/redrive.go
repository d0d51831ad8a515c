package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
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
	BatchCanceled Reason = "its batch is canceled"
	TooOld        Reason = "older than TRACKER_TTL, so that nothing tells whether it was redriven; name it with --task"
)

// runSuffix is the number of a run that was redriven.
var runSuffix = regexp.MustCompile(`\.r([1-9]\d{0,5})$`)

// splitRun returns the id of a task without the number of its run, and that number: 0 for the task itself.
func splitRun(id string) (base string, run int) {
	m := runSuffix.FindStringSubmatch(id)
	if m == nil {
		return id, 0
	}
	run, _ = strconv.Atoi(m[1]) // it has at most six digits
	return strings.TrimSuffix(id, m[0]), run
}

// PlanRedrive finds the failed tasks that the filter chooses, and what their new requests are, with these changes. It
// changes nothing. Of the letters of a task and its runs only the newest counts, so that a task is run again because of
// how it failed last.
func (q Queue) PlanRedrive(ctx context.Context, f RedriveFilter, changes []Change) (*Redrive, error) {
	r := &Redrive{q: q, changes: changes}
	inspect := func(l letter, now time.Time) letter {
		if f.chooses(l) && l.header.Get(publisher.ObjectHeader) == "" { // what is elsewhere is fetched once it is known to be needed
			_, l.why, l.detail = r.request(ctx, l, anyRunID, now)
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
		r.add(ctx, t, runs[base], canceled[l.batch], isTooOld, now)
	}
	return r, nil
}

// anyRunID is the id of a run for as long as its own is not known.
const anyRunID = "task.r1"

// add adds a task to those that are run again, or to those that are left out.
func (r *Redrive) add(ctx context.Context, t RedriveTask, runs taskRuns, isCanceled, isTooOld bool, now time.Time) {
	why, detail := t.letter.why, t.letter.detail
	switch {
	case runs.why() != "":
		why, detail = runs.why(), ""
	case isCanceled:
		why, detail = BatchCanceled, t.letter.batch
	case isTooOld:
		why, detail = TooOld, ""
	case why != "":
	case CheckTaskID(t.NewID) != nil:
		why = NoID
	case t.letter.header.Get(publisher.ObjectHeader) != "":
		_, why, detail = r.request(ctx, t.letter, t.NewID, now)
	}
	if why != "" {
		r.LeftOut = append(r.LeftOut, LeftOut{t.TaskID, why, detail})
		return
	}
	r.Tasks = append(r.Tasks, t)
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

// taskRuns is what is known of the runs of a task.
type taskRuns struct {
	last      int // the greatest number
	alive     bool
	succeeded bool
}

// why returns why the task cannot be run again, or "".
func (r taskRuns) why() Reason {
	switch {
	case r.alive:
		return RunAlive
	case r.succeeded:
		return RunSucceeded
	default:
		return ""
	}
}

// runsOf returns the runs of the tasks of these letters, by the task's id without the number of a run.
func (q Queue) runsOf(ctx context.Context, letters map[string]letter) (map[string]taskRuns, error) {
	runs := make(map[string]taskRuns, len(letters))
	for base, l := range letters {
		_, run := splitRun(l.taskID)
		runs[base] = taskRuns{last: run}
	}
	if len(runs) == 0 {
		return runs, nil
	}
	note := func(id string, alive, succeeded bool) {
		base, run := splitRun(id)
		if known, ok := runs[base]; ok {
			runs[base] = taskRuns{last: max(known.last, run), alive: known.alive || alive, succeeded: known.succeeded || succeeded}
		}
	}
	ended := map[string]bool{}
	want := func(id string, _ []byte) bool {
		base, _ := splitRun(id)
		_, ok := runs[base]
		return ok
	}
	err := q.records(ctx, want, func(rec task.Record) {
		ended[rec.TaskID] = rec.State.Ended()
		note(rec.TaskID, !rec.State.Ended(), rec.State == task.Succeeded)
	})
	if err != nil {
		return nil, err
	}
	_, err = q.queued(ctx, func(r queuedRequest) {
		note(r.taskID, !ended[r.taskID], false) // that of an ended task is about to be acknowledged
	})
	return runs, err
}

// canceledBatches returns the batches whose tasks are canceled. A bucket that does not exist has no marks.
func (q Queue) canceledBatches(ctx context.Context) (map[string]bool, error) {
	canceled := map[string]bool{}
	s, err := q.controlStream(ctx)
	if _, missing := errors.AsType[*MissingError](err); missing {
		return canceled, nil
	}
	if err != nil {
		return nil, err
	}
	prefix := jet.BucketSubject(q.Config.Control.Bucket, control.CancelBatchPrefix)
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{prefix + ">"}}
	err = q.scan(ctx, s, cfg, func(msg jetstream.Msg, _ *jetstream.MsgMetadata) {
		canceled[strings.TrimPrefix(msg.Subject(), prefix)] = !isDeleted(msg)
	})
	if err != nil {
		return nil, fmt.Errorf("read the cancellations in bucket %s: %w", q.Config.Control.Bucket, err)
	}
	return canceled, nil
}
