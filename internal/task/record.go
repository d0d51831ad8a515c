package task

import (
	"errors"
	"fmt"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// State is how far a task has come.
type State string

// The states of a record, in the order in which a task passes them.
const (
	Waiting    State = "waiting"    // known not to be submitted: it waits for a slot, the rate or the end of a pause
	Submitting State = "submitting" // the POST is about to be sent, or was sent and its answer is not recorded
	Running    State = "running"    // the workflow id is known
	Succeeded  State = "succeeded"  // its event is stored
	Failed     State = "failed"     // its event is stored
)

// WaitReason is why a task is not submitted yet.
type WaitReason string

// The reasons.
const (
	ForPause WaitReason = "paused" // submissions are paused: by an operator, or because the API asks for it
	ForRate  WaitReason = "rate"   // the API accepts no more submissions now, or the worker's own rate is used up
	ForPlan  WaitReason = "plan"   // the API has refused a submission, because the plan's browsers are in use
	ForSlots WaitReason = "slots"  // other submissions are under way, or before it in line
	ForRetry WaitReason = "retry"  // a run has failed, and the next one is not due
)

// Ended reports whether the event of a task in this state is stored.
func (s State) Ended() bool { return s == Succeeded || s == Failed }

// Record is the state of a task while it runs, and for a while after: a JSON value in the tracker's bucket, under the task's
// id. Of the request's content it has nothing but the digest. Its times are those of the NATS server's clock.
//
// A new field is one line with its tags. Older versions keep it, as Unknown. RecordSchema describes it to other programs.
type Record struct {
	TaskID      string    `json:"task_id" desc:"the task's id, which is the key"`
	State       State     `json:"state" desc:"waiting (not submitted yet), submitting (the POST is in progress, or its outcome was not recorded), running, succeeded, failed"`
	Owner       string    `json:"owner" desc:"the worker that owns the task: only it may act on it"`
	Epoch       uint64    `json:"epoch" desc:"how many deliveries have claimed the task"`
	RequestSeq  uint64    `json:"request_seq" desc:"the request's sequence in its stream"`
	Digest      string    `json:"digest" desc:"hash of the request's content"` // see Request.Digest
	WorkflowID  string    `json:"workflow_id,omitempty" desc:"Anchor's workflow, from running on"`
	SessionID   string    `json:"session_id,omitempty" desc:"the browser session: the one that the request names, or with SESSIONS=on the one that Capstan created"`
	Attempts    int       `json:"attempts,omitzero" desc:"submissions (POSTs) begun"`
	PostUntil   time.Time `json:"post_until,omitzero" desc:"while submitting: the latest time at which the POST is over"`
	Polls       int       `json:"polls,omitzero" desc:"status calls as of the last write"`
	RequestedAt time.Time `json:"requested_at" desc:"when the stream stored the request"`
	SubmittedAt time.Time `json:"submitted_at,omitzero" desc:"when Anchor accepted the task"`
	FinishedAt  time.Time `json:"finished_at,omitzero" desc:"when the verdict was reached"`
	UpdatedAt   time.Time `json:"updated_at" desc:"when the record was last written"`
	ResultSeq   uint64    `json:"result_seq,omitzero" desc:"the event's sequence in the results stream"`
	ErrorCode   Code      `json:"error_code,omitempty" desc:"the event's error code. On a task that has not finished, submission_unknown means that the one permitted resubmission is used up"` // see UnknownOnce

	Batch string `json:"batch,omitempty" desc:"the request's batch"`
	Host  string `json:"host,omitempty" desc:"the host of the request's url"`
	Run   int    `json:"run,omitzero" desc:"which retry the task is in; left out in the first run"`
	Runs  []Run  `json:"runs,omitempty" desc:"the runs before"`

	SessionEnded *bool    `json:"session_ended,omitzero" desc:"of a session that Capstan created: whether Anchor confirmed its end; left out until it was to end"`
	Steps        *int     `json:"steps,omitzero" desc:"steps of the agent in the ended sessions of the present run; once the task has ended, in all of its sessions. Left out if Anchor did not say"`
	Credits      *float64 `json:"credits,omitzero" desc:"credits that these sessions used, likewise"`
	Ending       Code     `json:"ending,omitempty" desc:"while running: why Capstan is ending the run's session: timeout, canceled or workflow_lost. What the workflow reports from then on does not count"`
	Fenced       bool     `json:"fenced,omitzero" desc:"the present run was submitted once more, because the outcome of its first submission was unknown and the session showed that the agent had taken no step"`
	LiveView     string   `json:"live_view,omitempty" desc:"with SESSION_LIVE_VIEW=on: a link that shows the browser while the task runs. It is a secret"`

	WaitsFor   WaitReason `json:"waits_for,omitempty" desc:"while waiting, what for: paused (by an operator or because of Anchor), rate (Anchor accepts no more submissions now), plan (all browsers of the plan are in use), slots (other submissions come first) or retry. A wait of less than a few seconds is not recorded"`
	WaitsUntil time.Time  `json:"waits_until,omitzero" desc:"while waiting, until when, if that is known"`

	// Unknown is a JSON object of the members that this version does not know, or "" if there are none. A newer version
	// wrote them, and JSON writes them again.
	Unknown string `json:"-"`

	// Revision is that of the bucket's entry which this record was read from or written as. The next write is compared
	// with it.
	Revision uint64 `json:"-"`
}

// UnknownOnce reports whether an earlier submission of this unfinished task had an unknown outcome, so that the one
// resubmission that its request allows is used up. The mark is the error code on a record that has not ended.
func (r Record) UnknownOnce() bool { return r.ErrorCode == SubmissionUnknown }

// BelongsTo reports whether the record is of the same message as the delivery. The sequence alone does not identify a
// message: a stream that was recreated starts again from 1. A record that was written again by its event has no sequence.
func (r Record) BelongsTo(d Delivery) bool {
	return (r.RequestSeq == d.Seq || r.RequestSeq == 0) && r.RequestedAt.Equal(d.Stored)
}

// Finished returns the record of a task whose event is stored at this sequence of the results stream. A
// mark of an unknown submission is removed: it is only for tasks that have not ended.
func (r Record) Finished(ev Event, seq uint64) Record {
	r.State, r.FinishedAt, r.ResultSeq, r.Polls, r.ErrorCode, r.PostUntil = ev.Status, ev.FinishedAt, seq, ev.Polls, "", time.Time{}
	r.WaitsFor, r.WaitsUntil = "", time.Time{}
	r.SessionEnded, r.Steps, r.Credits, r.Ending, r.Fenced, r.LiveView = ev.SessionEnded, ev.Steps, ev.Credits, "", false, ""
	if ev.Error != nil {
		r.ErrorCode = ev.Error.Code
	}
	return r
}

var (
	// ErrNotOwner means that another delivery has claimed the task. A worker that gets it does nothing more with the task:
	// no event, no acknowledgement, no heartbeat.
	ErrNotOwner = errors.New("the task is owned by another worker")

	// ErrRecordExists means that a record was to be created, but there is one.
	ErrRecordExists = errors.New("the task already has a record")

	// ErrNoRecord means that there is no record of the task.
	ErrNoRecord = errors.New("the task has no record")

	// ErrNewerRecord means that this version does not know the state of a record. It leaves the task to the workers of the
	// version that wrote the record.
	ErrNewerRecord = errors.New("the record was written by a newer version")

	// ErrRecordLost means that the bucket holds an older record than the one that was last written, or none: the bucket was
	// recreated, or NATS lost its last writes.
	ErrRecordLost = errors.New("the bucket has lost the task's record")

	// ErrBucketRecreated means that the bucket was deleted and created again since this worker wrote to it: other tasks
	// may have lost their records.
	ErrBucketRecreated = errors.New("the bucket of records was recreated")

	// ErrNoRequest means that the request of a record is no longer stored.
	ErrNoRequest = errors.New("the request is no longer stored")

	// ErrLetterRefused means that the dead-letter stream refused a dead letter that is optional.
	ErrLetterRefused = errors.New("the dead letter was refused")

	// ErrNoEvent means that the event of a record is no longer stored.
	ErrNoEvent = errors.New("the event is no longer stored")
)

// JSON returns the record as the bucket holds it. It panics if a time has a year of more than four digits.
func (r Record) JSON() []byte {
	written, err := jsonv2.Marshal(&r, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(fmt.Sprintf("write record %s: %v", r.TaskID, err))
	}
	if r.Unknown != "" {
		// Both are objects, which become one. The unknown members keep their bytes.
		written = append(written[:len(written)-1], ","+r.Unknown[1:]...)
	}
	return written
}

// ParseRecord reads a record as the bucket holds it. The error is ErrNewerRecord if a newer version wrote it, and the record is
// then what this version understands of it. Any other error says why no worker can have written it.
//
// Names match in any case, because versions that read with encoding/json match them so: what they take for a known member
// must not be kept as an unknown one.
func ParseRecord(value []byte) (Record, error) {
	var all struct {
		Record
		// Takes the members that Record has no field for.
		Unknown jsontext.Value `json:",embed"`
	}
	asV1 := jsonv2.JoinOptions(
		jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true),
		jsonv2.MatchCaseInsensitiveNames(true), jsonv1.MatchCaseSensitiveDelimiter(true),
	)
	if err := jsonv2.Unmarshal(value, &all, asV1); err != nil {
		return Record{}, fmt.Errorf("parse record: %w", err)
	}
	r := all.Record
	switch {
	case r.TaskID == "":
		return Record{}, errors.New("parse record: no task_id")
	case r.State == "":
		return Record{}, errors.New("parse record: no state")
	case !slices.Contains([]State{Waiting, Submitting, Running, Succeeded, Failed}, r.State):
		return r, fmt.Errorf("parse record: state %.40q: %w", r.State, ErrNewerRecord)
	case r.State == Running && r.WorkflowID == "":
		return Record{}, errors.New("parse record: running without a workflow_id")
	}
	r.Unknown = string(all.Unknown)
	if len(r.Runs) == 0 {
		r.Runs = nil // as it is written: without the member
	}
	return r, nil
}

// Precedes reports whether this is an earlier record of the run of a task that next belongs to: of the same
// request, and of the same owner and epoch or of an earlier epoch. A record that has ended precedes none, nor does one
// with a submission that next does not know: a worker that had lost the task has made it.
func (r Record) Precedes(next Record) bool {
	sameRequest := r.TaskID == next.TaskID && r.RequestSeq == next.RequestSeq && r.RequestedAt.Equal(next.RequestedAt)
	sameRun := r.Epoch == next.Epoch && r.Owner == next.Owner // which wrote both, one after the other
	knowsMore := !sameRun && r.Attempts > next.Attempts || r.Run > next.Run || r.WorkflowID != "" && !next.hasRun(r.Run, r.WorkflowID)
	return sameRequest && !r.State.Ended() && !knowsMore && (r.Epoch < next.Epoch || sameRun)
}

// hasRun reports whether a run of the task had this workflow.
func (r Record) hasRun(run int, workflowID string) bool {
	if run < len(r.Runs) {
		return r.Runs[run].WorkflowID == workflowID
	}
	return run == r.Run && r.WorkflowID == workflowID
}
