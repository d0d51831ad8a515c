package task

// Error says why a task failed. It is a part of the event.
type Error struct {
	Code      Code   `json:"code" desc:"the reason, for programs. A later version may have more codes"`
	Message   string `json:"message" desc:"the reason, for people"`
	Retryable bool   `json:"retryable" desc:"whether the same request may succeed under another task id"` // see Code.Retryable
}

// NewError returns an error whose Retryable is that of the code.
func NewError(code Code, message string) *Error {
	return &Error{Code: code, Message: message, Retryable: code.Retryable()}
}

// Code is the reason of a failure, for programs. Codes are public API: they are never renamed.
type Code string

// The codes that an event can have.
const (
	InvalidRequest    Code = "invalid_request"    // it is not JSON, or breaks a rule
	DuplicateTask     Code = "duplicate_task"     // its task id was used with other content
	Expired           Code = "expired"            // expires_at passed before submission
	Rejected          Code = "rejected"           // the API refused it
	SubmissionUnknown Code = "submission_unknown" // the API may or may not have accepted it
	WorkflowFailed    Code = "workflow_failed"    // FAILED, or ended from outside
	StepLimit         Code = "step_limit"         // stopped by max_steps
	AgentFailed       Code = "agent_failed"       // COMPLETED, but the agent reported a failure, or the result is empty
	InvalidResult     Code = "invalid_result"     // COMPLETED, but the result breaks output_schema
	WorkflowLost      Code = "workflow_lost"      // the API no longer knows the workflow
	Timeout           Code = "timeout"            // it did not finish within the request's timeout
	Canceled          Code = "canceled"           // an operator ended it
	Poisoned          Code = "poisoned"           // ten deliveries ended without progress
	SecretUnavailable Code = "secret_unavailable" // a file of secret_refs cannot be read; never submitted
)

// Codes returns all codes.
func Codes() []Code {
	return []Code{
		InvalidRequest, DuplicateTask, Expired, Rejected, SubmissionUnknown, WorkflowFailed, StepLimit,
		AgentFailed, InvalidResult, WorkflowLost, Timeout, Canceled, Poisoned, SecretUnavailable,
	}
}

// Retryable reports whether the same request may succeed under another task id. SubmissionUnknown is retryable at the
// user's risk: the first workflow may be running.
func (c Code) Retryable() bool {
	switch c {
	case InvalidRequest, DuplicateTask, Expired, Rejected, Poisoned:
		return false
	default:
		return true
	}
}
