package board

import (
	"strings"
	"time"
	"unique"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// card is what a board keeps of a record: what lists and figures need. Texts that many tasks share are stored once.
type card struct {
	id                                     string
	state, code, batch, host, owner, waits unique.Handle[string]
	submitted, finished, changed, until    moment
	seq                                    uint64 // of the request
	steps                                  *int   // the record's
	credits                                *float64
}

// newCard returns what is kept of a record.
func newCard(r task.Record) *card {
	e := inspect.EntryOf(r)
	return &card{
		id: strings.Clone(e.ID), state: shared(string(e.State)), code: shared(string(e.Code)), batch: shared(e.Batch), host: shared(e.Host),
		owner: shared(e.Owner), waits: shared(string(e.WaitsFor)), submitted: momentOf(e.SubmittedAt), finished: momentOf(e.FinishedAt),
		changed: momentOf(e.ChangedAt), until: momentOf(e.WaitsUntil), seq: r.RequestSeq,
		steps: r.Steps, credits: r.Credits,
	}
}

// shared returns the one copy of a text. It cuts one that is longer than what workers write.
func shared(text string) unique.Handle[string] {
	const longest = 256
	return unique.Make(text[:min(len(text), longest)])
}

// entry returns the task for a list.
func (c *card) entry() inspect.Entry {
	return inspect.Entry{
		ID: c.id, State: inspect.State(c.state.Value()), Code: task.Code(c.code.Value()), Batch: c.batch.Value(), Host: c.host.Value(),
		ChangedAt: c.changed.time(), SubmittedAt: c.submitted.time(), FinishedAt: c.finished.time(), Owner: c.owner.Value(),
		WaitsFor: task.WaitReason(c.waits.Value()), WaitsUntil: c.until.time(),
	}
}

// kind returns the entry with as much as filters look at.
func (c *card) kind() inspect.Entry {
	return inspect.Entry{State: inspect.State(c.state.Value()), Code: task.Code(c.code.Value()), Batch: c.batch.Value(), Host: c.host.Value()}
}

// record returns as much of the record as its figures need.
func (c *card) record() task.Record {
	return task.Record{
		TaskID: c.id, State: task.State(c.state.Value()), ErrorCode: task.Code(c.code.Value()), Batch: c.batch.Value(),
		WaitsFor: task.WaitReason(c.waits.Value()), SubmittedAt: c.submitted.time(), FinishedAt: c.finished.time(), UpdatedAt: c.changed.time(),
		RequestSeq: c.seq, Steps: c.steps, Credits: c.credits,
	}
}

// moment is a time in nanoseconds since 1970. 0 is the zero time.
type moment int64

// momentOf returns a time as a moment.
func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixNano())
}

// time returns the moment in UTC.
func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(m)).UTC()
}
