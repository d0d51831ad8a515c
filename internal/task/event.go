package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Event says how a task ended. One is published for each.
type Event struct {
	TaskID         string          `json:"task_id"`
	Status         State           `json:"status"` // Succeeded or Failed
	WorkflowID     string          `json:"workflow_id,omitempty"`
	WorkflowStatus string          `json:"workflow_status,omitempty"` // as the API spelled it
	Result         json.RawMessage `json:"result,omitzero"`           // the agent's answer, its wrappings taken off
	ResultRef      *ResultRef      `json:"result_ref,omitempty"`      // where the result is, when a message cannot hold it
	RawResult      json.RawMessage `json:"raw_result,omitzero"`       // what the API sent, where that differs or the task failed
	Error          *Error          `json:"error,omitempty"`           // set exactly when Status is Failed
	Metadata       json.RawMessage `json:"metadata,omitzero"`         // the request's, as it came
	Dropped        []string        `json:"dropped,omitempty"`         // members that were left out because the event did not fit into a message
	RequestedAt    time.Time       `json:"requested_at"`
	SubmittedAt    time.Time       `json:"submitted_at,omitzero"`
	FinishedAt     time.Time       `json:"finished_at"`
	Attempts       int             `json:"attempts"` // POSTs begun
	Polls          int             `json:"polls"`
	UnnoticedMS    int64           `json:"unnoticed_ms,omitzero"` // milliseconds the workflow's end can have gone unnoticed, at most
	Worker         string          `json:"worker"`
}

// JSON returns the event as subscribers get it: in UTF-8, without space between its parts and in a form that every reader
// accepts, see Portable. The error names the field that holds no JSON, or the time whose year has more than four digits.
func (e *Event) JSON() ([]byte, error) {
	portable, size := *e, 768
	for _, raw := range []*json.RawMessage{&portable.Result, &portable.RawResult, &portable.Metadata} {
		if *raw = Portable(*raw); len(*raw) == 0 {
			*raw = nil
		}
		size += len(*raw)
	}
	// The encoder writes into the buffer itself. It would copy a large result to get a larger buffer if less than a
	// quarter was free.
	written := bytes.NewBuffer(make([]byte, 0, size+size/3))
	asWritten := jsonv2.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true), jsontext.PreserveRawStrings(true))
	err := jsonv2.MarshalWrite(written, &portable, asWritten)
	if wrong, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		return nil, fmt.Errorf("%s: %w", wrong.JSONPointer.LastToken(), err)
	}
	return written.Bytes(), err
}

// ExceedsBytes reports whether the event is certainly longer than a number of bytes. It encodes nothing.
func (e *Event) ExceedsBytes(limit int64) bool {
	size := int64(0)
	for _, raw := range []json.RawMessage{e.Result, e.RawResult, e.Metadata} {
		size += int64(len(raw))
	}
	if size <= limit {
		return false
	}
	return compactSize(e.Result)+compactSize(e.RawResult)+compactSize(e.Metadata) > limit
}

// What is kept of texts in an event that does not fit into a message.
const (
	keptText    = 256 // bytes that are kept of a text
	keptMessage = 512 // bytes that are kept of an error's message
)

// DropMetadata leaves out the metadata and says so.
func (e *Event) DropMetadata() {
	if e.Metadata != nil {
		e.Metadata = nil
		e.Dropped = append(e.Dropped, "metadata")
	}
}

// ShortenTexts cuts the texts that can be long, and leaves out an id that would be of no use when it is cut. It
// says so.
func (e *Event) ShortenTexts() {
	if len(e.WorkflowID) > keptText {
		e.WorkflowID = ""
		e.Dropped = append(e.Dropped, "workflow_id")
	}
	e.WorkflowStatus = shortened(e.WorkflowStatus, keptText)
	e.Worker = shortened(e.Worker, keptText)
	if e.Error != nil {
		short := *e.Error
		short.Message = shortened(short.Message, keptMessage)
		e.Error = &short
	}
}

// shortened returns a text of that many bytes at most. An ellipsis stands where it was cut.
func shortened(text string, most int) string {
	const ellipsis = "…"
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	end := most - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// ResultRef names an object of an object store.
type ResultRef struct {
	Bucket string `json:"bucket"`
	Name   string `json:"name"`
	Size   uint64 `json:"size"`   // bytes
	Digest string `json:"digest"` // "SHA-256=" and the URL-safe base64 of the sum, as NATS writes it
}

// Error says why a task failed.
type Error struct {
	Code      Code   `json:"code"`
	Message   string `json:"message"`   // for people
	Retryable bool   `json:"retryable"` // whether asking again under another task id can help
}

// NewError returns an Error whose Retryable is the one that belongs to the code.
func NewError(code Code, message string) *Error {
	return &Error{Code: code, Message: message, Retryable: code.Retryable()}
}

// Code is the machine-readable reason of a failure: public API, never renamed.
type Code string

// The codes an event can carry.
const (
	InvalidRequest    Code = "invalid_request"    // not JSON, or it breaks a rule
	DuplicateTask     Code = "duplicate_task"     // its task id was used with other content
	Expired           Code = "expired"            // expires_at passed before submission
	Rejected          Code = "rejected"           // the API refused it
	SubmissionUnknown Code = "submission_unknown" // the API may or may not have accepted it
	WorkflowFailed    Code = "workflow_failed"    // FAILED, or ended from outside
	StepLimit         Code = "step_limit"         // stopped by max_steps
	AgentFailed       Code = "agent_failed"       // COMPLETED, but the agent says it failed, or nothing
	InvalidResult     Code = "invalid_result"     // COMPLETED, but the result breaks output_schema
	WorkflowLost      Code = "workflow_lost"      // the API does not know the workflow any more
	Timeout           Code = "timeout"            // not done within the request's timeout
	Canceled          Code = "canceled"           // reserved: nothing cancels yet
	Poisoned          Code = "poisoned"           // ten deliveries ended without a step forward
)

// Codes returns all codes.
func Codes() []Code {
	return []Code{
		InvalidRequest, DuplicateTask, Expired, Rejected, SubmissionUnknown, WorkflowFailed, StepLimit,
		AgentFailed, InvalidResult, WorkflowLost, Timeout, Canceled, Poisoned,
	}
}

// Retryable reports whether asking again can end otherwise. For SubmissionUnknown it can, at the
// user's risk: the first workflow may be running.
func (c Code) Retryable() bool {
	switch c {
	case InvalidRequest, DuplicateTask, Expired, Rejected, Poisoned:
		return false
	default:
		return true
	}
}
