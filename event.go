package capstan

import (
	"encoding/json"
	"time"
)

// Event says how a task ended. docs/messages.md describes the fields.
type Event struct {
	TaskID         string          `json:"task_id"`
	Status         Status          `json:"status"`
	WorkflowID     string          `json:"workflow_id,omitempty"`
	WorkflowStatus string          `json:"workflow_status,omitempty"`
	Result         json.RawMessage `json:"result,omitzero"`       // the agent's answer; see Client.Result
	ResultRef      *ResultRef      `json:"result_ref,omitempty"`  // where the answer is, if it is too large for a message
	RawResult      json.RawMessage `json:"raw_result,omitzero"`   // what Anchor sent, if it differs or the task failed
	Error          *Error          `json:"error,omitempty"`       // set if the task failed
	Metadata       json.RawMessage `json:"metadata,omitzero"`     // the request's
	Batch          string          `json:"batch,omitempty"`       // the request's
	Dropped        []string        `json:"dropped,omitempty"`     // fields that did not fit into a message
	RequestedAt    time.Time       `json:"requested_at"`          // when the stream stored the request
	SubmittedAt    time.Time       `json:"submitted_at,omitzero"` // when Anchor accepted the task
	FinishedAt     time.Time       `json:"finished_at"`           // when the verdict was reached
	Attempts       int             `json:"attempts"`              // submissions of all runs
	Runs           []Run           `json:"runs,omitempty"`        // if the task was retried
	Polls          int             `json:"polls"`
	UnnoticedMS    int64           `json:"unnoticed_ms,omitzero"`  // at most so long after the workflow's end, in milliseconds
	SessionID      string          `json:"session_id,omitempty"`   // the browser session that Capstan created, of the last run
	SessionEnded   *bool           `json:"session_ended,omitzero"` // whether Anchor confirmed its end; nil without one
	Steps          *int            `json:"steps,omitzero"`         // of the agent, in all sessions; nil if not known
	Credits        *float64        `json:"credits,omitzero"`       // that all sessions used; nil if not known
	Worker         string          `json:"worker"`
}

// Err returns the event's error, or nil if the task succeeded.
func (e Event) Err() error {
	if e.Error == nil {
		return nil
	}
	return e.Error
}

// Status says whether a task succeeded.
type Status string

// The two values of Status.
const (
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
)

// ResultRef names an object in an object store of NATS.
type ResultRef struct {
	Bucket string `json:"bucket"`
	Name   string `json:"name"`
	Size   uint64 `json:"size"` // in bytes
	Digest string `json:"digest"`
}

// Run is one run of a task that was retried.
type Run struct {
	WorkflowID  string    `json:"workflow_id,omitempty"`
	Code        Code      `json:"code,omitempty"` // empty if the run succeeded
	SubmittedAt time.Time `json:"submitted_at,omitzero"`
	FinishedAt  time.Time `json:"finished_at,omitzero"`
	SessionID   string    `json:"session_id,omitempty"` // the browser session that Capstan created for the run
	Steps       *int      `json:"steps,omitzero"`       // of the agent in it; nil if not known
	Credits     *float64  `json:"credits,omitzero"`     // that it used; nil if not known
}

// Error says why a task failed.
type Error struct {
	Code      Code   `json:"code"`
	Message   string `json:"message"`   // for people
	Retryable bool   `json:"retryable"` // whether the same request may succeed with another task id
}

// Error returns the code and the message.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Code is the reason of a failure, for programs.
type Code string

// The codes of failures. A later version may add some.
const (
	InvalidRequest    Code = "invalid_request"    // the request is not JSON, or breaks a rule
	DuplicateTask     Code = "duplicate_task"     // its task id was used with other content
	Expired           Code = "expired"            // ExpiresAt had passed before the submission
	Rejected          Code = "rejected"           // Anchor refused the task
	SubmissionUnknown Code = "submission_unknown" // Anchor may or may not have accepted it
	WorkflowFailed    Code = "workflow_failed"    // the workflow failed
	StepLimit         Code = "step_limit"         // it was stopped by MaxSteps
	AgentFailed       Code = "agent_failed"       // the agent says that it failed, or its answer is empty
	InvalidResult     Code = "invalid_result"     // the result does not match OutputSchema
	WorkflowLost      Code = "workflow_lost"      // Anchor no longer knows the workflow
	Timeout           Code = "timeout"            // the task did not finish within Timeout
	Canceled          Code = "canceled"           // an operator canceled it
	Poisoned          Code = "poisoned"           // its request kills or hangs workers
	SecretUnavailable Code = "secret_unavailable" // a file of SecretRefs cannot be read
)
