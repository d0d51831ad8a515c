package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Event is the result of a task. Each task has one. EventSchema describes it to other programs.
type Event struct {
	TaskID         string          `json:"task_id" desc:"the task's id"`
	Status         State           `json:"status" desc:"succeeded or failed"`
	WorkflowID     string          `json:"workflow_id,omitempty" desc:"Anchor's workflow, if one ran"`
	WorkflowStatus string          `json:"workflow_status,omitempty" desc:"the status of the workflow, as Anchor spelled it"`
	Result         json.RawMessage `json:"result,omitzero" desc:"the agent's answer without wrappers"`
	ResultRef      *ResultRef      `json:"result_ref,omitempty" desc:"where the result is, if it is too large for a message"`
	RawResult      json.RawMessage `json:"raw_result,omitzero" desc:"what Anchor sent, if it differs from result or if the task failed with a result"`
	Error          *Error          `json:"error,omitempty" desc:"on a failure, and only then: why the task failed"`
	Metadata       json.RawMessage `json:"metadata,omitzero" desc:"the request's, as it came"`
	Batch          string          `json:"batch,omitempty" desc:"the request's"`
	Dropped        []string        `json:"dropped,omitempty" desc:"names of what was left out because the event did not fit into a message"`
	RequestedAt    time.Time       `json:"requested_at" desc:"when the stream stored the request"`
	SubmittedAt    time.Time       `json:"submitted_at,omitzero" desc:"when Anchor accepted the task; of the last run, if there were several"`
	FinishedAt     time.Time       `json:"finished_at" desc:"when the verdict was reached"`
	Attempts       int             `json:"attempts" desc:"submissions (POSTs) of all runs"`
	Runs           []Run           `json:"runs,omitempty" desc:"if the task was retried, each run in its order"`
	Polls          int             `json:"polls" desc:"status calls that were answered, of all runs; those of a worker that died are not counted"`
	UnnoticedMS    int64           `json:"unnoticed_ms,omitzero" desc:"upper bound on the delay between the workflow ending and Capstan noticing, in milliseconds"`
	SessionID      string          `json:"session_id,omitempty" desc:"with SESSIONS=on: the browser session that Capstan created; of the last run, if there were several"`
	SessionEnded   *bool           `json:"session_ended,omitzero" desc:"whether Anchor confirmed the end of that session"`
	Steps          *int            `json:"steps,omitzero" desc:"steps of the agent in all sessions of the task, as of their end; left out if Anchor did not say"`
	Credits        *float64        `json:"credits,omitzero" desc:"credits that these sessions used, likewise"`
	Worker         string          `json:"worker" desc:"the worker that published the event"`

	// Digest is that of the request's content; see Request.Digest. A header of the event's message has it, and not the event
	// itself. It is empty for a refusal, and for an event of an older version.
	Digest string `json:"-"`
}

// RefusesRequest reports whether the event answers a request that did not become a task because of what it said. Such an event
// is not that of the task whose id the request names. A task can end as invalid_request, too: where no worker can run it. Its
// event has a digest.
func (e *Event) RefusesRequest() bool {
	return e.Error != nil && (e.Error.Code == InvalidRequest || e.Error.Code == DuplicateTask) && e.Digest == ""
}

// JSON returns the event as subscribers get it: in UTF-8, without space between its parts and in a form that every reader
// accepts, see Portable. The error names the field that holds no JSON, or the time whose year has more than four digits.
func (e *Event) JSON() ([]byte, error) {
	// 768 bytes are for everything but these three.
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

// ExceedsBytes reports whether the event is certainly longer than a number of bytes. It does not encode it.
// Only its results and its metadata count, without the space between their parts.
func (e *Event) ExceedsBytes(limit int64) bool {
	var size, compact int64
	for _, raw := range []json.RawMessage{e.Result, e.RawResult, e.Metadata} {
		size += int64(len(raw))
	}
	// Most events are known to fit without a look at their values.
	if size <= limit {
		return false
	}
	for _, raw := range []json.RawMessage{e.Result, e.RawResult, e.Metadata} {
		compact += compactSize(raw)
	}
	return compact > limit
}

// DropMetadata leaves out the metadata and says so in Dropped.
func (e *Event) DropMetadata() {
	if e.Metadata != nil {
		e.Metadata = nil
		e.Dropped = append(e.Dropped, "metadata")
	}
}

// Lengths of texts in an event that would not fit into a message otherwise.
const (
	// In bytes, without the ellipsis.
	keptText = 256
	// For the message of an error; in bytes, without the ellipsis.
	keptMessage = 512
)

// ShortenTexts truncates the texts that can be long. A workflow id that is too long is left out, because half of it would
// be of no use, and Dropped says so.
func (e *Event) ShortenTexts() {
	if len(e.WorkflowID) > keptText {
		e.WorkflowID = ""
		e.Dropped = append(e.Dropped, "workflow_id")
	}
	if slices.ContainsFunc(e.Runs, func(r Run) bool { return len(r.WorkflowID) > keptText }) {
		e.Runs = nil
		e.Dropped = append(e.Dropped, "runs")
	}
	shorten := func(text string, limit int) string { return truncate(strings.ToValidUTF8(text, "\uFFFD"), limit) }
	e.WorkflowStatus = shorten(e.WorkflowStatus, keptText)
	e.Worker = shorten(e.Worker, keptText)
	if e.Error != nil {
		// Copies of the event may share the error.
		short := *e.Error
		short.Message = shorten(short.Message, keptMessage)
		e.Error = &short
	}
}

// ResultRef names an object in the object store.
type ResultRef struct {
	Bucket string `json:"bucket" desc:"the object store"`
	Name   string `json:"name" desc:"the object in it"`
	Size   uint64 `json:"size" desc:"size of the object in bytes"`
	Digest string `json:"digest" desc:"SHA-256= and the URL-safe base64 of the object's SHA-256, as NATS writes it"`
}
