package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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
// bucket under the task's id. It holds nothing of the request's content but a digest. Its times are by the NATS
// server's clock.
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
	PostUntil   time.Time `json:"post_until,omitzero"`   // while Submitting: when the POST is over at the latest
	Polls       int       `json:"polls,omitempty"`       // status calls answered, as of the last write
	RequestedAt time.Time `json:"requested_at"`          // when the stream stored the request
	SubmittedAt time.Time `json:"submitted_at,omitzero"` // when the workflow id came
	FinishedAt  time.Time `json:"finished_at,omitzero"`  // when the verdict was reached
	UpdatedAt   time.Time `json:"updated_at"`            // this write
	ResultSeq   uint64    `json:"result_seq,omitempty"`  // of the event, in the results stream
	ErrorCode   Code      `json:"error_code,omitempty"`  // of the event; see also UnknownOnce

	// Unknown holds the members that this version does not know, as ",name:value" each. A newer version wrote
	// them, and they are written again.
	Unknown string `json:"-"`

	// Revision of the bucket's entry that this record was read from or written as: what the next
	// write is compared against.
	Revision uint64 `json:"-"`
}

// UnknownOnce reports whether a submission of this unfinished task had an unknown outcome before, so
// that the one repetition its request allowed is used up. The mark is the error code on a record that
// has not ended.
func (r Record) UnknownOnce() bool { return r.ErrorCode == SubmissionUnknown }

// BelongsTo reports whether the record is of this very message. A stream that was deleted and made
// again counts from 1 anew, so the sequence alone does not tell.
func (r Record) BelongsTo(d Delivery) bool {
	return r.RequestSeq == d.Seq && r.RequestedAt.Equal(d.Stored)
}

// Finished returns the record of a task whose event is stored, with this sequence in the results stream.
func (r Record) Finished(ev Event, seq uint64) Record {
	r.State, r.FinishedAt, r.ResultSeq, r.Polls, r.ErrorCode, r.PostUntil = ev.Status, ev.FinishedAt, seq, ev.Polls, "", time.Time{}
	if ev.Error != nil {
		r.ErrorCode = ev.Error.Code
	}
	return r
}

var (
	// ErrNotOwner says that another delivery has claimed the task. Whoever meets it does nothing more with the
	// task: no event, no acknowledgement, no heartbeat.
	ErrNotOwner = errors.New("the task is owned by another worker")

	// ErrRecordExists says that a record was to be created and there is one.
	ErrRecordExists = errors.New("the task has a record")

	// ErrNoRecord says that there is no record of the task.
	ErrNoRecord = errors.New("the task has no record")

	// ErrNewerRecord says that a record is in a state that this version does not know. It is left alone: a
	// worker of the version that wrote it goes on with the task.
	ErrNewerRecord = errors.New("the record was written by a newer version")

	// ErrRecordLost says that the bucket holds an older record than the one that was last written, or none:
	// the bucket was recreated, or NATS lost its last writes.
	ErrRecordLost = errors.New("the bucket has lost the task's record")

	// ErrBucketRecreated says that the bucket was deleted and created again since this worker wrote to it: other tasks
	// may have lost their records.
	ErrBucketRecreated = errors.New("the bucket of records was recreated")

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
	o.optionalMoment("post_until", r.PostUntil)
	o.optionalInteger("polls", int64(r.Polls))
	o.moment("requested_at", r.RequestedAt)
	o.optionalMoment("submitted_at", r.SubmittedAt)
	o.optionalMoment("finished_at", r.FinishedAt)
	o.moment("updated_at", r.UpdatedAt)
	if r.ResultSeq != 0 {
		o.number("result_seq", r.ResultSeq)
	}
	o.optionalText("error_code", string(r.ErrorCode))
	o.b = append(o.b, r.Unknown...)
	return o.end()
}

// ParseRecord reads a record as the bucket holds it. The error is ErrNewerRecord where a newer version wrote it, and
// else says what is wrong with one that no worker can have written.
func ParseRecord(value []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(value, &r); err != nil {
		return Record{}, fmt.Errorf("parse record: %w", err)
	}
	switch {
	case r.TaskID == "":
		return Record{}, errors.New("parse record: it has no task_id")
	case r.State == "":
		return Record{}, errors.New("parse record: it has no state")
	case !slices.Contains([]State{Waiting, Submitting, Running, Succeeded, Failed}, r.State):
		return Record{}, fmt.Errorf("parse record: state %.40q: %w", r.State, ErrNewerRecord)
	case r.State == Running && r.WorkflowID == "":
		return Record{}, errors.New("parse record: it is running without a workflow_id")
	}
	r.Unknown = string(unknownMembers(value))
	return r, nil
}

// unknownMembers returns the members of a record that this version does not know. A name that differs from a known
// one in its case only is not kept: encoding/json would read it as the known one.
func unknownMembers(value []byte) (unknown []byte) {
	known := recordFields()
	for _, m := range members(value) {
		if !slices.ContainsFunc(known, func(name string) bool { return strings.EqualFold(name, m.name) }) {
			unknown = append(append(unknown, ','), quote(m.name)...)
			unknown = append(append(unknown, ':'), m.value...)
		}
	}
	return unknown
}

// recordFields returns the names of a record's members. A test holds them to the struct.
func recordFields() []string {
	return []string{
		"task_id", "state", "owner", "epoch", "request_seq", "digest", "workflow_id", "session_id", "attempts", "post_until", "polls",
		"requested_at", "submitted_at", "finished_at", "updated_at", "result_seq", "error_code",
	}
}

// Precedes reports whether a record is an earlier one of the same run of a task than next: of the same request, and
// of the same owner and epoch, or of an epoch before.
func (r Record) Precedes(next Record) bool {
	sameRequest := r.TaskID == next.TaskID && r.RequestSeq == next.RequestSeq && r.RequestedAt.Equal(next.RequestedAt)
	return sameRequest && !r.State.Ended() && (r.Epoch < next.Epoch || r.Epoch == next.Epoch && r.Owner == next.Owner)
}
