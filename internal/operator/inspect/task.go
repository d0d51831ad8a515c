package inspect

import (
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// State is how far a task has come, as an operator sees it: a state of its record, or one of these.
type State string

// The states that no record has.
const (
	Queued   State = "queued"   // no worker has taken its request
	Canceled State = "canceled" // it ended because it was canceled
	Refused  State = "refused"  // its request broke a rule: it has an event and no record
	Unknown  State = "unknown"  // there is no trace of it
)

// Task is everything that is stored about a task. Its JSON is public: names are never changed.
type Task struct {
	ID       string       `json:"task_id"`
	State    State        `json:"state"`
	Position int          `json:"position,omitzero"` // Queued: about its place in line, from 1 on
	QueuedAt time.Time    `json:"queued_at,omitzero"`
	Record   *task.Record `json:"record,omitempty"`
	Event    *task.Event  `json:"event,omitempty"` // nil until the task has ended, and after the event has expired

	// Cancel is the mark by which the task is canceled, if it has not ended yet.
	Cancel   *task.Cancellation `json:"cancel,omitempty"`
	NextPoll time.Time          `json:"next_poll,omitzero"` // Running: if a worker says so

	// LiveView is a link that shows the browser while the task runs, or "". It is a secret, so the Record is without it.
	LiveView task.Secret `json:"-"`
}

// IsOpen reports whether a task in this state has not ended.
func (s State) IsOpen() bool {
	switch s {
	case State(task.Succeeded), State(task.Failed), Canceled, Refused, Unknown:
		return false
	default: // also a state that only a newer version knows
		return true
	}
}

// Code returns why the task failed, or "".
func (t Task) Code() task.Code {
	switch {
	case t.Event != nil && t.Event.Error != nil:
		return t.Event.Error.Code
	case t.Record != nil:
		return t.Record.ErrorCode
	default:
		return ""
	}
}
