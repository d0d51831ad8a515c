package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// State is how far a task has come. The tracker's records carry it.
type State string

// The states of a record, in the order a task meets them.
const (
	Waiting    State = "waiting"    // known not to be submitted: for a pause, the rate, a free slot
	Submitting State = "submitting" // the POST is about to leave, or left, and its answer is not recorded
	Running    State = "running"    // the workflow id is known
	Succeeded  State = "succeeded"  // its event is stored
	Failed     State = "failed"     // its event is stored
)

// Ended reports whether a task in this state has its event.
func (s State) Ended() bool { return s == Succeeded || s == Failed }

// Record is what is kept of a task while it runs and for a while after: a JSON value in the tracker's
// bucket under the task's id. It holds nothing of the request's content but a digest.
type Record struct {
	TaskID      string    `json:"task_id"`
	State       State     `json:"state"`
	Owner       string    `json:"owner"`                 // the worker that may act on the task
	Epoch       uint64    `json:"epoch"`                 // how many deliveries have claimed it, this one included
	RequestSeq  uint64    `json:"request_seq"`           // the request's sequence in its stream
	Digest      string    `json:"digest"`                // of the request's content; see Request.Digest
	WorkflowID  string    `json:"workflow_id,omitempty"` // known from Running on
	SessionID   string    `json:"session_id,omitempty"`  // the browser session the request named
	Attempts    int       `json:"attempts,omitempty"`    // POSTs begun
	Polls       int       `json:"polls,omitempty"`       // status calls answered, as of the last write
	RequestedAt time.Time `json:"requested_at"`          // when the stream stored the request
	SubmittedAt time.Time `json:"submitted_at,omitzero"` // when the workflow id came
	FinishedAt  time.Time `json:"finished_at,omitzero"`  // when the verdict was reached
	UpdatedAt   time.Time `json:"updated_at"`            // this write
	ResultSeq   uint64    `json:"result_seq,omitempty"`  // of the event, in the results stream
	ErrorCode   Code      `json:"error_code,omitempty"`  // of the event; see also UnknownOnce

	// Revision of the bucket's entry that this record was read from or written as: what the next
	// write is compared against.
	Revision uint64 `json:"-"`
}

// UnknownOnce reports whether a submission of this unfinished task had an unknown outcome before, so
// that the one repetition its request allowed is used up. The mark is the error code on a record that
// has not ended.
func (r Record) UnknownOnce() bool { return r.ErrorCode == SubmissionUnknown }

// Of reports whether the record was made for this very message. A stream that was deleted and made
// again counts from 1 anew, so the sequence alone does not tell.
func (r Record) Of(m Message) bool {
	return r.RequestSeq == m.Seq && r.RequestedAt.Equal(m.Stored)
}

var (
	// ErrNotOwner says that another delivery has claimed the task. Whoever meets it does nothing more with the
	// task: no event, no acknowledgement, no heartbeat.
	ErrNotOwner = errors.New("the task is owned by another worker")

	// ErrRecordExists says that a record was to be created and there is one.
	ErrRecordExists = errors.New("the task has a record")

	// ErrNoRecord says that there is no record of the task.
	ErrNoRecord = errors.New("the task has no record")

	// ErrNoRequest says that the request that a record names is not stored any more.
	ErrNoRequest = errors.New("the request is not stored any more")

	// ErrNoEvent says that the event that a record names is not stored any more.
	ErrNoEvent = errors.New("the event is not stored any more")
)

// JSON returns the record as the bucket holds it. Its times have years of four digits.
func (r Record) JSON() []byte {
	o := newObject(384 + len(r.TaskID) + len(r.Owner) + len(r.WorkflowID) + len(r.SessionID))
	o.text("task_id", r.TaskID)
	o.text("state", string(r.State))
	o.text("owner", r.Owner)
	o.number("epoch", r.Epoch)
	o.number("request_seq", r.RequestSeq)
	o.text("digest", r.Digest)
	o.optionalText("workflow_id", r.WorkflowID)
	o.optionalText("session_id", r.SessionID)
	o.optionalInteger("attempts", int64(r.Attempts))
	o.optionalInteger("polls", int64(r.Polls))
	o.moment("requested_at", r.RequestedAt)
	o.optionalMoment("submitted_at", r.SubmittedAt)
	o.optionalMoment("finished_at", r.FinishedAt)
	o.moment("updated_at", r.UpdatedAt)
	if r.ResultSeq != 0 {
		o.number("result_seq", r.ResultSeq)
	}
	o.optionalText("error_code", string(r.ErrorCode))
	return o.end()
}

// ParseRecord reads a record as the bucket holds it. The error says what is wrong with one that no
// worker can have written.
func ParseRecord(value []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(value, &r); err != nil {
		return Record{}, fmt.Errorf("parse record: %w", err)
	}
	switch {
	case r.TaskID == "":
		return Record{}, errors.New("parse record: it has no task_id")
	case !slices.Contains([]State{Waiting, Submitting, Running, Succeeded, Failed}, r.State):
		return Record{}, fmt.Errorf("parse record: state is %.40q", r.State)
	case r.State == Running && r.WorkflowID == "":
		return Record{}, errors.New("parse record: it is running without a workflow_id")
	}
	return r, nil
}
