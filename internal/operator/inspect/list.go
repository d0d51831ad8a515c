package inspect

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// Listing says which tasks to list. What is zero does not count.
type Listing struct {
	States []State // Canceled takes the tasks that failed with this code
	Codes  []task.Code
	Batch  string
	Host   string
	Since  time.Duration // only those that changed in this time
	Limit  int           // at most so many, the newest
}

// Entry is a task in a list. Its JSON is public: names are never changed.
type Entry struct {
	ID          string          `json:"task_id"`
	State       State           `json:"state"`
	Code        task.Code       `json:"code,omitempty"`
	Batch       string          `json:"batch,omitempty"`
	Host        string          `json:"host,omitempty"`
	ChangedAt   time.Time       `json:"changed_at"` // the last change of its state that is recorded
	RequestedAt time.Time       `json:"requested_at,omitzero"`
	SubmittedAt time.Time       `json:"submitted_at,omitzero"`
	FinishedAt  time.Time       `json:"finished_at,omitzero"`
	Owner       string          `json:"owner,omitempty"` // the worker
	WorkflowID  string          `json:"workflow_id,omitempty"`
	Attempts    int             `json:"attempts,omitzero"`
	Run         int             `json:"run,omitzero"`
	WaitsFor    task.WaitReason `json:"waits_for,omitempty"`
	WaitsUntil  time.Time       `json:"waits_until,omitzero"`

	Seq uint64 `json:"-"` // Queued: of the request
}

// ListedStates are the states that a list can have, in the order in which a task passes them.
func ListedStates() []State {
	return []State{Queued, State(task.Waiting), State(task.Submitting), State(task.Running), State(task.Succeeded), State(task.Failed)}
}

// List returns the tasks that a filter takes, the newest first. Requests that are queued are looked for among the newest
// 200,000; complete is false if there are more, and if some are asked for. A request that was refused is no task.
func List(ctx context.Context, q operator.Queue, f Listing) (found []Entry, complete bool, err error) {
	l, err := q.Line(ctx)
	noStream := operator.IsMissing(err)
	if noStream {
		l.Now = time.Now()
	} else if err != nil {
		return nil, false, err
	}
	since := time.Time{}
	if f.Since > 0 {
		since = l.Now.Add(-f.Since)
	}
	takes := func(e Entry) bool { return f.Takes(e) && !e.ChangedAt.Before(since) }
	complete = true
	var requests []operator.Request
	if f.TakesQueued() {
		if requests, complete, err = q.NewestQueued(ctx, l); err != nil {
			return nil, false, err
		}
	}
	keep := func(r task.Record) bool { return takes(EntryOf(r)) }
	if f.TakesQueued() { // every record tells that a request is not queued
		keep = nil
	}
	records := q.Records(keep)
	if err := records.Refresh(ctx, l.Now); operator.IsMissing(err) && !noStream {
		records.All = nil
	} else if err != nil {
		return nil, false, err
	}
	if f.TakesQueued() && !noStream {
		taken, err := q.Taken(ctx, l, maps.Values(records.All), 1)
		if err != nil {
			return nil, false, err
		}
		requests = append(requests, taken...)
	}
	for _, r := range requests {
		e := EntryOfQueued(r)
		if _, hasRecord := records.All[r.TaskID]; takes(e) && !hasRecord {
			found = append(found, e)
		}
	}
	for _, r := range records.All {
		if e := EntryOf(r); takes(e) {
			found = append(found, e)
		}
	}
	return Newest(found, f.Limit), complete, nil
}

// TakesQueued reports whether a filter takes tasks that are queued: these have no code.
func (f Listing) TakesQueued() bool {
	return len(f.Codes) == 0 && (len(f.States) == 0 || slices.Contains(f.States, Queued))
}

// Takes reports whether a filter takes a task, apart from its time.
func (f Listing) Takes(e Entry) bool {
	return (len(f.States) == 0 || slices.Contains(f.States, e.State) || e.Code == task.Canceled && slices.Contains(f.States, Canceled)) &&
		(len(f.Codes) == 0 || slices.Contains(f.Codes, e.Code)) &&
		(f.Batch == "" || f.Batch == e.Batch) &&
		(f.Host == "" || strings.EqualFold(f.Host, e.Host))
}

// EntryOf returns the entry of a task that has a record.
func EntryOf(r task.Record) Entry {
	e := Entry{
		ID: r.TaskID, State: State(r.State), Batch: r.Batch, Host: r.Host, ChangedAt: r.UpdatedAt, RequestedAt: r.RequestedAt,
		SubmittedAt: r.SubmittedAt, FinishedAt: r.FinishedAt, Owner: r.Owner, WorkflowID: r.WorkflowID, Attempts: r.Attempts, Run: r.Run,
	}
	switch r.State {
	case task.Failed:
		e.Code = r.ErrorCode
	case task.Waiting:
		e.WaitsFor, e.WaitsUntil = r.WaitsFor, r.WaitsUntil
	default:
	}
	return e
}

// EntryOfQueued returns the entry of a task whose request no worker has taken.
func EntryOfQueued(r operator.Request) Entry {
	return Entry{ID: r.TaskID, State: Queued, Batch: r.Batch, Host: r.Host, ChangedAt: r.Stored, RequestedAt: r.Stored, Seq: r.Seq}
}

// CompareNewest orders tasks as lists do: the newest change first.
func CompareNewest(a, b Entry) int {
	return cmp.Or(b.ChangedAt.Compare(a.ChangedAt), cmp.Compare(a.ID, b.ID))
}

// Newest sorts tasks, the newest first, and returns the first ones: all if limit is 0.
func Newest(all []Entry, limit int) []Entry {
	slices.SortFunc(all, CompareNewest)
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all
}
