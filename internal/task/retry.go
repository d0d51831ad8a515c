package task

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRetries is the largest number of retries that a request can ask for.
	maxRetries = 5

	// maxRetryOn is the length of the longest list of codes. A code may come twice.
	maxRetryOn = 16
)

// Run is one run of a task that was run more than once.
type Run struct {
	WorkflowID  string    `json:"workflow_id,omitempty" desc:"Anchor's workflow, if one ran"`
	Code        Code      `json:"code,omitempty" desc:"why the run failed; left out if it succeeded"`
	SubmittedAt time.Time `json:"submitted_at,omitzero" desc:"when Anchor accepted the run"`
	FinishedAt  time.Time `json:"finished_at,omitzero" desc:"when the run's verdict was reached"`
	SessionID   string    `json:"session_id,omitempty" desc:"with SESSIONS=on: the browser session that Capstan created for the run"`
	Steps       *int      `json:"steps,omitzero" desc:"steps of the agent in it; left out if Anchor did not say"`
	Credits     *float64  `json:"credits,omitzero" desc:"credits that it used, likewise"`
}

// retriedByDefault are the failures after which a task is run again if its request names none.
func retriedByDefault() []Code { return []Code{WorkflowFailed, AgentFailed, InvalidResult, StepLimit} }

// Retriable returns the failures after which a request can ask to be run again: in all of them it is certain that the
// workflow was accepted, and how it ended, or that nothing waits for it any longer.
func Retriable() []Code { return append(retriedByDefault(), Timeout, WorkflowLost) }

// Retries reports whether a task is run again after this failure of a run; 0 is its first.
func (r *Request) Retries(run int, code Code) bool {
	retryOn := r.RetryOn
	if retryOn == nil {
		retryOn = retriedByDefault()
	}
	return run < r.MaxRetries && slices.Contains(retryOn, code)
}

// BodyOf returns the JSON to post for a run; 0 is the first. For a retry, the members of its object in retry_with take the
// place of the request's. Where the list is shorter than the retries, the request's own members hold again.
func (r *Request) BodyOf(run int) []byte {
	with := r.retryWith(run)
	if len(with) == 0 {
		return r.Body
	}
	return replaceMembers(r.Body, with)
}

// KindOf returns the Kind of a run; 0 is the first.
func (r *Request) KindOf(run int) string {
	with := r.retryWith(run)
	if len(with) == 0 || r.Body == nil {
		return r.Kind
	}
	return taskKind(members(replaceMembers(r.Body, with)))
}

// retryWith returns what a run has in place of the request's members.
func (r *Request) retryWith(run int) []member {
	if run < 1 || run > len(r.RetryWith) {
		return nil
	}
	return members(r.RetryWith[run-1])
}

// replaceMembers returns an object with these members in the place of its own of the same name.
func replaceMembers(object []byte, with []member) []byte {
	size := len(object)
	for _, m := range with {
		size += len(m.name) + len(m.value) + len(`,"":`)
	}
	b := append(make([]byte, 0, size), '{')
	for _, m := range members(object) {
		if valueOf(with, m.name) == nil {
			b = appendMember(b, m)
		}
	}
	for _, m := range with {
		b = appendMember(b, m)
	}
	return append(b, '}')
}

// appendMember appends a member to an object that is not closed yet.
func appendMember(b []byte, m member) []byte {
	if len(b) > 1 {
		b = append(b, ',')
	}
	b = append(append(b, quote(m.name)...), ':')
	return append(b, m.value...)
}

// readRetries takes how often a failed run is run again.
func (r *Request) readRetries(value json.RawMessage) error {
	if err := mustBe("a number", value); err != nil {
		return err
	}
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 || n > maxRetries {
		return &violation{rule: fmt.Sprintf("must be a plain integer from 0 to %d", maxRetries), got: string(value)}
	}
	r.MaxRetries = n
	return nil
}

// readRetryOn takes the failures after which a run is run again. An empty list is none.
func (r *Request) readRetryOn(value json.RawMessage) error {
	all, err := elements(value, maxRetryOn)
	if err != nil {
		return err
	}
	r.RetryOn = []Code{}
	for i, element := range all {
		text, err := stringIn(element)
		if err == nil && !slices.Contains(Retriable(), Code(text)) {
			err = &violation{rule: "must be one of " + codeNames(Retriable()), got: text}
		}
		if err != nil {
			return inField(fmt.Sprintf(".%d", i), err)
		}
		if !slices.Contains(r.RetryOn, Code(text)) {
			r.RetryOn = append(r.RetryOn, Code(text))
		}
	}
	return nil
}

// codeNames joins codes for people.
func codeNames(codes []Code) string {
	names := make([]string, len(codes))
	for i, code := range codes {
		names[i] = string(code)
	}
	return strings.Join(names, ", ")
}

// readRetryWith takes what the first retry, the second and so on have in place of the request's own members.
func (r *Request) readRetryWith(value json.RawMessage) error {
	all, err := elements(value, maxRetries)
	if err != nil {
		return err
	}
	for i, element := range all {
		if err := checkRetryWith(element); err != nil {
			return inField(fmt.Sprintf(".%d", i), err)
		}
		r.RetryWith = append(r.RetryWith, bytes.Clone(element))
	}
	return nil
}

// checkRetryWith accepts an object with the members that a retry can change.
func checkRetryWith(object json.RawMessage) error {
	if err := mustBe("an object", object); err != nil {
		return err
	}
	known := fields()
	for m := range eachMember(object) {
		if !slices.Contains(changeable(), m.name) {
			return inField("."+m.name, &violation{rule: "cannot change in a retry; only agent, provider, model and max_steps can"})
		}
		if err := new(Request).read(known, m); err != nil {
			return inField(".", err)
		}
	}
	return nil
}

// changeable returns the fields that a retry can change. Their readers take nothing into the request.
func changeable() []string { return []string{"agent", "provider", "model", "max_steps"} }

// elements returns the elements of a value that must be an array of at most so many.
func elements(value json.RawMessage, most int) (all []json.RawMessage, _ error) {
	if err := mustBe("an array", value); err != nil {
		return nil, err
	}
	dec := newDecoder(value)
	_, err := dec.ReadToken()
	for err == nil && dec.PeekKind() != ']' {
		if len(all) == most {
			return nil, &violation{rule: fmt.Sprintf("must have at most %d elements", most)}
		}
		var element []byte
		if element, err = dec.ReadValue(); err == nil {
			all = append(all, bytes.Clone(element))
		}
	}
	return all, err
}
