package task

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task/redact"
	"github.com/capstan-worker/capstan/internal/task/schema"
)

// Defaults are what a request gets for the fields that it leaves out.
type Defaults struct {
	Timeout   time.Duration // of the field timeout
	OnUnknown OnUnknown     // of on_unknown_submission; "" is Fail

	// Schemas checks output_schema, and results against it. If it is nil, both are checked without bounds of memory and of
	// time.
	Schemas *schema.Checker
}

// Request is a task that can be run: a message that breaks no rule.
type Request struct {
	// Delivery is the message of the request, without its data. Of its headers only the trace is kept, which the event
	// repeats.
	Delivery Delivery

	TaskID    string // the request's own, else its publisher's message id, else the delivery's default
	Digest    string // hex SHA-256 of the content; see digest
	SessionID string // the browser session to run in; empty for a new one
	// Agent, model and rough number of steps, in at most 150 bytes. Tasks of one kind take about the same
	// time.
	Kind string

	// UnusedMessageID is the publisher's Nats-Msg-Id, truncated, if the request has no task_id and this one cannot be a task
	// id. TaskID is the default then, so a copy of the request after the stream's duplicate window is another task.
	UnusedMessageID string

	// Body is the JSON to post: the fields that belong to the API, as they came, with async true. It holds secrets. It may
	// be set to nil after the submission, to free memory.
	Body []byte

	OutputSchema json.RawMessage // what the result must fit; nil if anything will do
	Metadata     json.RawMessage // as it came, or nil
	Batch        string          // groups tasks; empty for none
	Host         string          // of the url, in lower case; empty without a url, and if it holds a secret
	Secrets      Secrets
	SecretRefs   []SecretRef   // secrets that are read from files; see WithSecrets and AddSecrets
	Timeout      time.Duration // maximum run time of each run, from submission
	ExpiresAt    time.Time     // do not submit the first run after this time; zero for never
	OnUnknown    OnUnknown     // what happens after a submission whose outcome is unknown

	// Session and Browser are what the request says about the browser session that Capstan creates; nil for nothing.
	Session, Browser json.RawMessage

	MaxRetries int               // how often a failed run is run again; see Retries
	RetryOn    []Code            // after which failures; nil for the default ones
	RetryWith  []json.RawMessage // by retry: what replaces the request's members; see BodyOf

	ownSecrets []redact.Secret // of secret_values
	refSecrets []redact.Secret // values that the files had
	schemas    *schema.Checker
}

// KeptSize returns how many bytes of a submitted request are needed until its event is stored. The body is among them
// unless it was set to nil.
func (r *Request) KeptSize() int {
	size := len(r.Body) + len(r.OutputSchema) + len(r.Metadata) + len(r.Session) + len(r.Browser) + r.Secrets.Size()
	for _, with := range r.RetryWith {
		size += len(with)
	}
	return size
}

// ParseRequest reads a request. Every field must be known and of its type, and every rule kept. The error is always an
// *InvalidError about the first violation. The request shares no memory with d.Data.
func ParseRequest(d Delivery, defaults Defaults) (*Request, error) {
	r, err := parse(d, defaults)
	if err == nil {
		return r, nil
	}
	v, ok := errors.AsType[*violation](err)
	if !ok {
		v = &violation{rule: "request cannot be read", detail: err.Error()}
	}
	return nil, v.invalid(d)
}

// parse does the work of ParseRequest. Its violations may quote secrets.
func parse(d Delivery, defaults Defaults) (*Request, error) {
	data := withoutMark(d.Data)
	if err := checkShape(data); err != nil {
		return nil, err
	}
	all, known := members(data), fields()
	r := &Request{
		Delivery: d.withoutContent(), TaskID: taskID(d, all),
		Timeout: defaults.Timeout, OnUnknown: cmp.Or(defaults.OnUnknown, Fail), schemas: defaults.Schemas,
	}
	for _, m := range all {
		if err := r.read(known, m); err != nil {
			return nil, err
		}
	}
	if err := r.checkTogether(d, known, all); err != nil {
		return nil, err
	}
	r.hideHost(r.ownSecrets)
	// Only now is every value known to be of its type.
	r.Body = body(known, all)
	r.Kind = taskKind(all)
	r.Digest = digest(all, r.TaskID)
	return r, nil
}

// checkTogether checks the rules that take more than one field.
func (r *Request) checkTogether(d Delivery, known []field, all []member) error {
	if valueOf(all, "task_id") == nil {
		if err := r.checkMessageID(d.Header); err != nil {
			return err
		}
	}
	switch {
	case valueOf(all, "prompt") == nil:
		return &violation{field: "prompt", rule: "is required"}
	case valueOf(all, "url") == nil && valueOf(all, "sessionId") == nil:
		return &violation{rule: "set url or sessionId"}
	}
	if err := r.checkSession(all); err != nil {
		return err
	}
	if err := checkSecretNames(all); err != nil {
		return err
	}
	return checkExtra(known, all)
}

// checkExtra refuses parameters that are fields of their own, in any case: they could contradict the field. Those of
// vendor clients may be in extra, as was their place before they were fields, but not in both places.
func checkExtra(known []field, all []member) error {
	for parameter := range eachMember(valueOf(all, "extra")) {
		for _, f := range known {
			if parameter.name == f.name && isVendorField(f.name) && valueOf(all, f.name) == nil {
				continue
			}
			if strings.EqualFold(parameter.name, f.name) {
				return &violation{field: "extra." + parameter.name, rule: "must not repeat a known field; set " + f.name + " itself"}
			}
		}
	}
	return nil
}

// body returns the JSON to post. Names and values keep their bytes, so that numbers and escapes arrive as
// they were written. It takes no field twice, because checkExtra has refused those of extra that are fields
// as well.
func body(known []field, all []member) []byte {
	const begin = `{"async":true`
	size := len(begin)
	for _, m := range all {
		size += len(m.name) + len(m.value) + len(`,"":`)
	}
	b := append(make([]byte, 0, size), begin...)
	for _, f := range known {
		if value := valueOf(all, f.name); f.sent && value != nil {
			b = append(b, `,"`+f.name+`":`...)
			b = append(b, value...)
		}
	}
	if extra := valueOf(all, "extra"); extra != nil {
		if inside := bytes.TrimSpace(extra[1 : len(extra)-1]); len(inside) > 0 {
			b = append(append(b, ','), inside...)
		}
	}
	return append(b, '}')
}
