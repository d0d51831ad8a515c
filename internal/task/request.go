package task

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task/schema"
)

// Defaults stand in for what a request leaves out.
type Defaults struct {
	Timeout  time.Duration // for timeout
	Resubmit bool          // for on_unknown_submission: whether it is "resubmit"

	// Schemas checks output_schema, and results against it. Nil does too, without its bounds.
	Schemas *schema.Checker
}

// Request is a task that can be run: a message that keeps every rule.
type Request struct {
	// Message is where the request came from. Its Data is dropped, and of its Header only the trace is
	// kept: what the event needs.
	Message Message

	TaskID    string // the request's own, else the message id of its publisher, else the default
	Digest    string // hex SHA-256 of the content; see digest
	SessionID string // the browser session to run in; empty for a new one
	Kind      string // agent, model and max_steps, as they came: tasks of one kind take about as long

	// Body is the JSON that is posted: the fields that are the API's, as they came, with async true. It
	// holds secrets. Whoever has submitted it may set it to nil, to free memory.
	Body []byte

	OutputSchema json.RawMessage // what the result is checked against; nil where there is none
	Metadata     json.RawMessage // as it came; nil where there is none
	Secrets      Secrets
	Timeout      time.Duration // longest run, from submission
	ExpiresAt    time.Time     // not to be submitted after this moment; zero for never
	Resubmit     bool          // whether it may be submitted again after an unknown outcome

	schemas *schema.Checker
}

// InvalidError says why a message is no request that can be run.
type InvalidError struct {
	TaskID   string          // the id that could be read, or the message's default
	Field    string          // "prompt", "secret_values.PIN"; empty where the whole is meant
	Rule     string          // what the field holds, and what would do. It shows no secret
	Metadata json.RawMessage // the request's, where it could be read and is legal
}

// Error names the field, what it holds, and what would do.
func (e *InvalidError) Error() string {
	if e.Field == "" {
		return "request: " + e.Rule
	}
	return e.Field + ": " + e.Rule
}

// ParseRequest reads a request. Every field has to be known and of its type, and every rule kept; the
// first breach is returned, always as an *InvalidError. The request shares no memory with m.Data.
func ParseRequest(m Message, d Defaults) (*Request, error) {
	r, err := parse(m, d)
	if err == nil {
		return r, nil
	}
	f, ok := errors.AsType[*fault](err)
	if !ok {
		f = &fault{rule: "cannot be read", detail: err.Error()}
	}
	return nil, f.inMessage(m)
}

func parse(m Message, d Defaults) (*Request, error) {
	if err := checkShape(m.Data); err != nil {
		return nil, err
	}
	all := members(m.Data)
	r := &Request{Message: m.withoutData(), TaskID: taskID(m, all), Timeout: d.Timeout, Resubmit: d.Resubmit, schemas: d.Schemas}
	table := fields()
	known := table[:]
	for _, each := range all {
		if err := r.read(known, each); err != nil {
			return nil, err
		}
	}
	if valueOf(all, "prompt") == nil {
		return nil, &fault{field: "prompt", rule: "is missing; say what the agent shall do"}
	}
	if valueOf(all, "url") == nil && valueOf(all, "sessionId") == nil {
		return nil, &fault{rule: "has neither url nor sessionId; give a URL to start from, or a session to run in"}
	}
	extra := members(valueOf(all, "extra"))
	if err := checkExtra(known, extra); err != nil {
		return nil, err
	}
	r.Body = body(known, all, extra)
	r.Kind = taskKind(all)
	r.Digest = digest(all, r.TaskID)
	return r, nil
}

// taskKind is the same for requests whose tasks may be expected to take about as long.
func taskKind(all []member) string {
	return string(valueOf(all, "agent")) + " " + string(valueOf(all, "model")) + " " + string(valueOf(all, "max_steps"))
}

// withoutData returns the message with nothing of its content but its trace (W3C Trace Context).
func (m Message) withoutData() Message {
	header := map[string][]string{}
	for _, name := range []string{"traceparent", "tracestate"} {
		if value := m.HeaderValue(name); value != "" {
			header[name] = []string{value}
		}
	}
	m.Data, m.Header = nil, header
	return m
}

// checkExtra refuses parameters that are a field of their own, in any case: they could say something
// else than the field does.
func checkExtra(known []field, extra []member) error {
	for _, m := range extra {
		for _, f := range known {
			if strings.EqualFold(m.name, f.name) {
				return &fault{field: "extra." + m.name, rule: "may not repeat a known field; give " + f.name + " beside extra"}
			}
		}
	}
	return nil
}

// body returns what is posted. Values keep their bytes, so that numbers and escapes arrive as written.
func body(known []field, all, extra []member) []byte {
	const begin = `{"async":true`
	b := append(make([]byte, 0, len(begin)+sizeOf(all)), begin...)
	for _, f := range known {
		if value := valueOf(all, f.name); f.sent && value != nil {
			b = appendMember(b, member{f.name, value})
		}
	}
	for _, m := range extra {
		b = appendMember(b, m)
	}
	return append(b, '}')
}

func appendMember(b []byte, m member) []byte {
	b = append(b, ',')
	b = append(b, quote(m.name)...)
	b = append(b, ':')
	return append(b, m.value...)
}
