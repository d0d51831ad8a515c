package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Workflow is what the API says of a workflow.
type Workflow struct {
	Status string          // as spelled by the API: RUNNING, COMPLETED, FAILED, …
	Result json.RawMessage // of a completed one; any JSON, or nothing
	Error  string          // of a failed one
}

// Ended reports whether the workflow will not change any more. A status that nobody documents is taken
// for one that still runs. The canceled and timed-out ones look like Temporal's and are expected to come.
func (w Workflow) Ended() bool {
	switch w.state() {
	case "COMPLETED", "FAILED", "CANCELED", "CANCELLED", "TERMINATED", "TIMED_OUT":
		return true
	default:
		return false
	}
}

// Outcome is how the wait for a workflow ended: it ended itself, its time was up, or it was lost.
type Outcome struct {
	Workflow                     // the last that was said of it
	TimedOut       bool          // the task's time was up first
	Lost           bool          // the API said, again and again, that it does not know the workflow
	TooLarge       bool          // the answer was larger than what is read of one
	Polls          int           // status calls that were answered
	DetectionDelay time.Duration // the longest the end can have gone unnoticed: since the last call that said otherwise
	LastError      string        // what the last call that told nothing of the workflow brought; it may repeat what the API said

	// Free gives back the memory that is reserved for the result, once the event is stored. Nil: none is.
	Free func()
}

// Release calls Free where there is one.
func (e *Outcome) Release() {
	if e.Free != nil {
		e.Free()
	}
}

// state is the status in capitals: the API's documents spell some in small letters.
func (w Workflow) state() string { return strings.ToUpper(w.Status) }

// SubmitErrorKind is what is known of a submission that brought no workflow id.
type SubmitErrorKind int

// The outcomes. Only Unknown leaves open whether the task runs.
const (
	Refused SubmitErrorKind = iota + 1 // the API said no to this task
	NotNow                             // it was not accepted, through no fault of the task
	Unknown                            // it may or may not have been accepted
)

// Reason is why submissions do not go through now: a closed set, fit for a metric's label.
type Reason string

// The reasons of a NotNow, and Failing, which several submissions of Unknown outcome make together.
const (
	RateLimited  Reason = "rate_limited" // 429
	Unauthorized Reason = "unauthorized" // 401: the key
	NoCredits    Reason = "no_credits"   // 402
	Forbidden    Reason = "forbidden"    // 403: the cost limit, or a session of somebody else's
	Unavailable  Reason = "unavailable"  // 503 with Retry-After
	Unready      Reason = "unready"      // 408 and 425: the request was not read
	Unreachable  Reason = "unreachable"  // no connection: the request never left
	ProxyLogin   Reason = "proxy_login"  // 407: a proxy on the way wants a login, and the request went no further
	NotTheAPI    Reason = "not_the_api"  // a 4xx that is not in the API's own form: a gateway's page
	Refusing     Reason = "refusing"     // refusals of one kind in a row, and no success
	Failing      Reason = "failing"      // one unknown outcome after the other
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{RateLimited, Unauthorized, NoCredits, Forbidden, Unavailable, Unready, Unreachable, ProxyLogin, NotTheAPI, Refusing, Failing}
}

// ErrNotSubmitted says that a place among the submissions was taken and given back, and nothing was submitted.
var ErrNotSubmitted = errors.New("nothing was submitted")

// SubmitError is why a submission brought no workflow id.
type SubmitError struct {
	Kind       SubmitErrorKind
	Reason     Reason        // of a NotNow, else empty
	HTTPStatus int           // 0 where no answer came
	RetryAfter time.Duration // what the API asked for, 0 where it asked for nothing
	Message    string        // what the API or the network said. It may repeat the request: not for logs
}

func (e *SubmitError) Error() string {
	if e.HTTPStatus == 0 {
		return e.Message
	}
	return fmt.Sprintf("%d: %s", e.HTTPStatus, e.Message)
}

// StatusError is why a status call told nothing of its workflow.
type StatusError struct {
	HTTPStatus int           // 0 where no answer came
	Reason     Reason        // why the API answers no call now, else empty
	RetryAfter time.Duration // what the API asked for, 0 where it asked for nothing
	OwnForm    bool          // the answer is an error in the API's own form, and no gateway's page
	TooLarge   bool          // the answer was larger than what was to be read of it
	Size       int64         // of an answer that was too large, in bytes; -1 where it did not say
	Message    string        // for debugging; it may repeat what the API said: not for logs
}

func (e *StatusError) Error() string {
	if e.HTTPStatus == 0 {
		return e.Message
	}
	return fmt.Sprintf("%d: %s", e.HTTPStatus, e.Message)
}

// UnknownWorkflow reports whether the API itself answered that it does not know the workflow.
func (e *StatusError) UnknownWorkflow() bool {
	return e.OwnForm && (e.HTTPStatus == 404 || e.HTTPStatus == 400)
}
