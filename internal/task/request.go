package task

import (
	"bytes"
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
	// Delivery is where the request came from. Its Data is dropped, and of its Header only the trace is
	// kept: what the event needs.
	Delivery Delivery

	TaskID    string // the request's own, else the message id of its publisher, else the default
	Digest    string // hex SHA-256 of the content; see digest
	SessionID string // the browser session to run in; empty for a new one
	Kind      string // agent, model and about how many steps: tasks of one kind take about as long. At most 150 bytes

	// UnusedMessageID is the publisher's Nats-Msg-Id, cut, where the request names no id and this one cannot be a task's. Then
	// TaskID is the default: a copy of the request that comes after the stream's duplicate window is another task.
	UnusedMessageID string

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

// KeptSize is how many bytes of the request are needed until its event is stored, once it was submitted.
func (r *Request) KeptSize() int {
	return len(r.OutputSchema) + len(r.Metadata) + r.Secrets.Size()
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
// first breach is returned, always as an *InvalidError. The request shares no memory with d.Data.
func ParseRequest(d Delivery, defaults Defaults) (*Request, error) {
	r, err := parse(d, defaults)
	if err == nil {
		return r, nil
	}
	f, ok := errors.AsType[*fault](err)
	if !ok {
		f = &fault{rule: "cannot be read", detail: err.Error()}
	}
	return nil, f.inMessage(d)
}

func parse(d Delivery, defaults Defaults) (*Request, error) {
	data := withoutMark(d.Data)
	if err := checkShape(data); err != nil {
		return nil, err
	}
	all := members(data)
	r := &Request{Delivery: d.withoutContent(), TaskID: taskID(d, all), Timeout: defaults.Timeout, Resubmit: defaults.Resubmit, schemas: defaults.Schemas}
	table := fields()
	known := table[:]
	for _, each := range all {
		if err := r.read(known, each); err != nil {
			return nil, err
		}
	}
	if valueOf(all, "task_id") == nil {
		if err := r.checkMessageID(d.Header); err != nil {
			return nil, err
		}
	}
	if valueOf(all, "prompt") == nil {
		return nil, &fault{field: "prompt", rule: "is missing; say what the agent shall do"}
	}
	if valueOf(all, "url") == nil && valueOf(all, "sessionId") == nil {
		return nil, &fault{rule: "has neither url nor sessionId; give a URL to start from, or a session to run in"}
	}
	if err := checkExtra(known, all); err != nil {
		return nil, err
	}
	r.Body = body(known, all)
	r.Kind = taskKind(all)
	r.Digest = digest(all, r.TaskID)
	return r, nil
}

// checkExtra refuses parameters that are a field of their own, in any case: they could say something
// else than the field does. Those of vendor clients may stand in extra, because that was their place once, unless they stand
// beside it as well.
func checkExtra(known []field, all []member) error {
	extra := valueOf(all, "extra")
	if extra == nil {
		return nil
	}
	t := tokens{data: extra}
	t.next() // the bracket
	for token := t.next(); token[0] != '}'; token = t.next() {
		name := unquote(token)
		t.value()
		for _, f := range known {
			if name == f.name && isVendorField(f.name) && valueOf(all, f.name) == nil {
				continue
			}
			if strings.EqualFold(name, f.name) {
				return &fault{field: "extra." + name, rule: "may not repeat a known field; give " + f.name + " beside extra"}
			}
		}
	}
	return nil
}

// body returns what is posted. Names and values keep their bytes, so that numbers and escapes arrive as written.
func body(known []field, all []member) []byte {
	const begin = `{"async":true`
	b := append(make([]byte, 0, len(begin)+sizeOf(all)), begin...)
	for _, f := range known {
		if value := valueOf(all, f.name); f.sent && value != nil {
			b = append(b, `,"`...)
			b = append(b, f.name...)
			b = append(b, `":`...)
			b = append(b, value...)
		}
	}
	if extra := valueOf(all, "extra"); extra != nil {
		if inside := bytes.TrimSpace(extra[1 : len(extra)-1]); len(inside) > 0 {
			b = append(b, ',')
			b = append(b, inside...)
		}
	}
	return append(b, '}')
}
