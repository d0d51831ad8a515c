package task

import (
	"errors"
	"fmt"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
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
	Attempts    int       `json:"attempts,omitzero"`     // POSTs begun
	PostUntil   time.Time `json:"post_until,omitzero"`   // while Submitting: when the POST is over at the latest
	Polls       int       `json:"polls,omitzero"`        // status calls answered, as of the last write
	RequestedAt time.Time `json:"requested_at"`          // when the stream stored the request
	SubmittedAt time.Time `json:"submitted_at,omitzero"` // when the workflow id came
	FinishedAt  time.Time `json:"finished_at,omitzero"`  // when the verdict was reached
	UpdatedAt   time.Time `json:"updated_at"`            // this write
	ResultSeq   uint64    `json:"result_seq,omitzero"`   // of the event, in the results stream
	ErrorCode   Code      `json:"error_code,omitempty"`  // of the event; see also UnknownOnce

	// Unknown is a JSON object of the members that this version does not know, or "" if there are none. A newer version
	// wrote them, and JSON writes them again.
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

	// ErrNoRequest says that the request that a record names is not stored any more.
	ErrNoRequest = errors.New("the request is not stored any more")

	// ErrNoEvent says that the event that a record names is not stored any more.
	ErrNoEvent = errors.New("the event is not stored any more")
)

// JSON returns the record as the bucket holds it. It panics if a time has a year of more than four digits.
func (r Record) JSON() []byte {
	written, err := jsonv2.Marshal(&r, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(fmt.Sprintf("write record %s: %v", r.TaskID, err))
	}
	if r.Unknown != "" { // byte for byte
		written = append(written[:len(written)-1], ","+r.Unknown[1:]...)
	}
	return written
}

// ParseRecord reads a record as the bucket holds it. The error is ErrNewerRecord if a newer version wrote it, or else
// says what is wrong with a record that no worker can have written.
//
// Names match in any case, as in versions that read with encoding/json: a member that these take for a known one must
// not pass for an unknown one here.
func ParseRecord(value []byte) (Record, error) {
	var all struct {
		Record
		Unknown jsontext.Value `json:",embed"`
	}
	lenient := jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsonv2.MatchCaseInsensitiveNames(true))
	if err := jsonv2.Unmarshal(value, &all, lenient); err != nil {
		return Record{}, fmt.Errorf("parse record: %w", err)
	}
	r := all.Record
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
	r.Unknown = string(all.Unknown)
	return r, nil
}

// Precedes reports whether a record is an earlier one of the same run of a task than next: of the same request, and
// of the same owner and epoch, or of an epoch before.
func (r Record) Precedes(next Record) bool {
	sameRequest := r.TaskID == next.TaskID && r.RequestSeq == next.RequestSeq && r.RequestedAt.Equal(next.RequestedAt)
	return sameRequest && !r.State.Ended() && (r.Epoch < next.Epoch || r.Epoch == next.Epoch && r.Owner == next.Owner)
}
