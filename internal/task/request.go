package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Defaults stand in for what a request leaves out.
type Defaults struct {
	Timeout  time.Duration // for timeout
	Resubmit bool          // for on_unknown_submission: whether it is "resubmit"
}

// Request is a task that can be run: a message that keeps every rule.
type Request struct {
	// Message is where the request came from. Its Data is dropped, and of its Header only the trace is
	// kept: what the event needs.
	Message Message

	TaskID    string // the request's own, else the message id of its publisher, else the default
	Digest    string // hex SHA-256 of the content; see digest
	SessionID string // the browser session to run in; empty for a new one

	// Body is the JSON that is posted: the fields that are the API's, as they came, with async true. It
	// holds secrets. Whoever has submitted it may set it to nil, to free memory.
	Body []byte

	OutputSchema json.RawMessage // what the result is checked against; nil where there is none
	Metadata     json.RawMessage // as it came; nil where there is none
	Secrets      Secrets
	Timeout      time.Duration // longest run, from submission
	ExpiresAt    time.Time     // not to be submitted after this moment; zero for never
	Resubmit     bool          // whether it may be submitted again after an unknown outcome
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
	r := &Request{Message: m.withoutData(), TaskID: taskID(m, all), Timeout: d.Timeout, Resubmit: d.Resubmit}
	for _, each := range all {
		if err := r.read(each); err != nil {
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
	if err := checkExtra(extra); err != nil {
		return nil, err
	}
	r.Body = body(all, extra)
	r.Digest = digest(all, r.TaskID)
	return r, nil
}

// withoutData returns the message with nothing of its content but its trace (W3C Trace Context).
func (m Message) withoutData() Message {
	header := map[string][]string{}
	for _, name := range []string{"traceparent", "tracestate"} {
		if values, ok := m.Header[name]; ok {
			header[name] = values
		}
	}
	m.Data, m.Header = nil, header
	return m
}

// checkExtra refuses parameters that are a field of their own, in any case: they could say something
// else than the field does.
func checkExtra(extra []member) error {
	for _, m := range extra {
		for _, f := range fields {
			if strings.EqualFold(m.name, f.name) {
				return &fault{field: "extra." + m.name, rule: "may not repeat a known field; give " + f.name + " beside extra"}
			}
		}
	}
	return nil
}

// body returns what is posted. Values keep their bytes, so that numbers and escapes arrive as written.
func body(all, extra []member) []byte {
	b := bytes.NewBufferString(`{"async":true`)
	write := func(m member) {
		b.WriteByte(',')
		b.Write(quoteJSON(m.name))
		b.WriteByte(':')
		b.Write(m.value)
	}
	for _, f := range fields {
		if value := valueOf(all, f.name); f.sent && value != nil {
			write(member{f.name, value})
		}
	}
	for _, m := range extra {
		write(m)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// valueOf returns the value of the member with this name, or nil.
func valueOf(all []member, name string) json.RawMessage {
	if i := slices.IndexFunc(all, func(m member) bool { return m.name == name }); i >= 0 {
		return all[i].value
	}
	return nil
}

// maxShown bounds what a message shows of a field's content, in bytes.
const maxShown = 80

// inMessage makes the fault fit to be shown: short, without secrets, and with what can still be read of
// the request.
func (f *fault) inMessage(m Message) *InvalidError {
	secrets := secretsIn(m.Data)
	show := func(s string) string { return cut(secrets.Text(s), maxShown) }
	all := members(m.Data)
	e := &InvalidError{TaskID: taskID(m, all), Field: f.field, Rule: f.rule}
	if name, inside, ok := strings.Cut(f.field, "."); !isField(name) {
		e.Field = show(f.field)
	} else if ok {
		e.Field = name + "." + show(inside)
	}
	if f.holds != "" {
		e.Rule = "is " + strconv.Quote(show(f.holds)) + "; " + e.Rule
	}
	if f.detail != "" {
		e.Rule += ": " + cut(secrets.Text(f.detail), maxMessage)
	}
	if metadata := valueOf(all, "metadata"); utf8.Valid(metadata) && len(metadata) <= maxMetadata &&
		kindOf(metadata) == "an object" && checkTokens(metadata) == nil {
		e.Metadata = metadata
	}
	return e
}

// cut shortens text to about limit bytes, between two characters.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
