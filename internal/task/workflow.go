package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// MaxAnswer is how much is read at most of the API's answer to a status call, in bytes.
const MaxAnswer = 32 << 20

// Workflow is what the API reports of a workflow.
type Workflow struct {
	Status string          // as the API spells it: RUNNING, COMPLETED, FAILED, …
	Result json.RawMessage // of a completed one: any JSON, or nil
	Error  string          // of a failed one, or "". Some completed ones have it, too
}

// Ended reports whether the workflow will not change any more. A status that is not documented counts as running, except
// for the canceled and timed-out ones of Temporal, which the API seems to be built on.
func (w Workflow) Ended() bool {
	switch w.status() {
	case "COMPLETED", "FAILED", "CANCELED", "CANCELLED", "TERMINATED", "TIMED_OUT":
		return true
	default:
		return false
	}
}

// status returns the status in capitals: the API's documentation spells some in lower case.
func (w Workflow) status() string { return strings.ToUpper(w.Status) }

// Outcome is how the wait for a workflow ended: the workflow ended, its time was up, it was lost, or its task was canceled.
type Outcome struct {
	Workflow               // the last report
	TimedOut bool          // the task's time was up first
	Lost     bool          // the API reported several times that it does not know the workflow
	Canceled *Cancellation // nil unless the task was canceled
	TooLarge bool          // the answer was larger than what the worker reads
	Session  *SessionEnd   // of the session that Capstan created for the run; nil if there is none
	Polls    int           // status calls that were answered
	// Upper bound on the delay between the end of the workflow and its detection.
	DetectionDelay time.Duration
	DetectedAt     time.Time // by this machine's clock; zero if the workflow did not end
	// Of the last status call, if it brought no report. It may quote the API.
	LastError string

	// Free releases the memory that is reserved for the result, once the event is stored. It may be nil.
	Free func()
}

// Release calls Free, unless it is nil.
func (o *Outcome) Release() {
	if o.Free != nil {
		o.Free()
	}
}

// Watch is a workflow to wait for.
type Watch struct {
	TaskID     string
	WorkflowID string
	Kind       string    // tasks of one kind are likely to run about as long; see Request.Kind
	Submitted  time.Time // when the workflow began
	Deadline   time.Time // when its time is up
	Resumed    bool      // another delivery has waited for it before
	Answered   func()    // called for each answer of the API that does not end the wait; may be nil

	// Scheduled is called with the time of the next poll and the number of answers so far. It may be nil.
	Scheduled func(next time.Time, polls int)
}

// Progress is how far a task has come on the worker that has it.
type Progress struct {
	Step       string     // claim, submit, poll or publish
	Since      time.Time  // when the step began
	WaitsFor   WaitReason // before the submission; empty if it does not wait
	WaitsUntil time.Time  // when that is over, if it is known
	NextPoll   time.Time  // while the workflow runs
	Polls      int        // status calls answered on this worker
}

// SubmitErrorKind says whether a submission without a workflow id may have been accepted.
type SubmitErrorKind int

// The kinds. Only Unknown leaves open whether the task runs.
const (
	Refused SubmitErrorKind = iota + 1 // the API refused this task
	NotNow                             // it was not accepted, through no fault of the task
	Unknown                            // it may or may not have been accepted
)

// Reason is why submissions are paused: a closed set, fit for a metric's label.
type Reason string

// The reasons of a NotNow, and two that are seen only over several submissions: Refusing and Failing.
const (
	RateLimited  Reason = "rate_limited" // 429
	Unauthorized Reason = "unauthorized" // 401: the key
	NoCredits    Reason = "no_credits"   // 402
	Forbidden    Reason = "forbidden"    // 403: the cost limit, or a session of another account
	Unavailable  Reason = "unavailable"  // 503 or 529, with Retry-After
	Unready      Reason = "unready"      // 408 and 425: the request was not read
	Unreachable  Reason = "unreachable"  // no connection: the request was never sent
	ProxyLogin   Reason = "proxy_login"  // 407: a proxy asks for a login and did not forward the request
	NotTheAPI    Reason = "not_the_api"  // a 4xx that is not in the API's own form: a gateway's page
	Refusing     Reason = "refusing"     // several refusals of one kind in a row
	Failing      Reason = "failing"      // several unknown outcomes in a row
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{RateLimited, Unauthorized, NoCredits, Forbidden, Unavailable, Unready, Unreachable, ProxyLogin, NotTheAPI, Refusing, Failing}
}

// ErrInterrupted is the error of a wait that was interrupted. Its caller may wait again.
var ErrInterrupted = errors.New("the wait was interrupted")

// ErrNotSubmitted releases a submission slot that was acquired but not used: it says nothing about the API.
var ErrNotSubmitted = errors.New("nothing was submitted")

// SubmitError is why a submission brought no workflow id.
type SubmitError struct {
	Kind       SubmitErrorKind
	Reason     Reason        // of a NotNow, else ""
	HTTPStatus int           // 0 if no answer came
	RetryAfter time.Duration // the wait that the API asked for; 0 if it did not
	StartRate  bool          // of a 429: it is about the rate of submissions, and not about the browsers that run
	Message    string        // of the API or the network. It may quote the request: not for logs
}

// Error returns the message, after the HTTP status if there is one.
func (e *SubmitError) Error() string { return withHTTPStatus(e.HTTPStatus, e.Message) }

// StatusError is why a status call brought no report of its workflow.
type StatusError struct {
	HTTPStatus int           // 0 if no answer came
	Reason     Reason        // why the API answers no call now, else ""
	RetryAfter time.Duration // the wait that the API asked for; 0 if it did not
	OwnForm    bool          // the answer is an error in the API's own form, not a gateway's page
	TooLarge   bool          // the answer was larger than the caller allowed
	Size       int64         // bytes of an answer that was too large; -1 if it did not give its size
	Message    string        // for debugging. It may quote the API: not for logs
}

// Error returns the message, after the HTTP status if there is one.
func (e *StatusError) Error() string { return withHTTPStatus(e.HTTPStatus, e.Message) }

// UnknownWorkflow reports whether the API itself answered that it does not know the workflow.
func (e *StatusError) UnknownWorkflow() bool {
	return e.OwnForm && (e.HTTPStatus == http.StatusNotFound || e.HTTPStatus == http.StatusBadRequest)
}

// withHTTPStatus puts the status before the message, unless it is 0.
func withHTTPStatus(status int, message string) string {
	if status == 0 {
		return message
	}
	return fmt.Sprintf("%d: %s", status, message)
}
