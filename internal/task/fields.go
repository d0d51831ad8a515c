package task

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"
)

// Bounds of single fields.
const (
	maxSessionID = 256 // bytes. It becomes part of the record
	maxTimeout   = 30 * 24 * time.Hour
	maxMetadata  = 64 << 10 // bytes. They come back on the event, beside the result
)

// secretValues is the field whose content is never shown.
const secretValues = "secret_values"

// field is a row of the request's table.
type field struct {
	name string
	sent bool // the API gets it in the body, as it came
	read func(r *Request, value json.RawMessage) error
}

// fields is the request's table: every field that a request can have. Names are matched exactly.
var fields = []field{
	{"prompt", true, (*Request).checkPrompt},
	{"url", true, (*Request).checkURL},
	{"sessionId", false, (*Request).readSessionID},
	{"agent", true, checkString},
	{"provider", true, checkString},
	{"model", true, checkString},
	{"detect_elements", true, checkBool},
	{"human_intervention", true, checkBool},
	{"highlight_elements", true, checkBool},
	{"max_steps", true, (*Request).checkMaxSteps},
	{secretValues, true, (*Request).readSecrets},
	{"output_schema", true, (*Request).readOutputSchema},
	{"async", false, checkBool}, // accepted and ignored
	{"extra", false, checkObject},
	{"task_id", false, (*Request).checkTaskID},
	{"timeout", false, (*Request).readTimeout},
	{"expires_at", false, (*Request).readExpiresAt},
	{"on_unknown_submission", false, (*Request).readOnUnknown},
	{"metadata", false, (*Request).readMetadata},
}

// read takes one member into the request.
func (r *Request) read(m member) error {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == m.name })
	if i < 0 {
		return &fault{field: m.name, rule: fmt.Sprintf(
			"is not a known field; the nearest is %s (extra takes parameters that are new to the API)", nearest(m.name))}
	}
	err := fields[i].read(r, m.value)
	if f, ok := errors.AsType[*fault](err); ok {
		f.field = m.name + f.field
	}
	return err
}

func isField(name string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return f.name == name })
}

// nearest returns the known field whose name takes the fewest edits, whatever its case.
func nearest(name string) string {
	name = strings.ToLower(cut(name, maxShown))
	edits := func(f field) int { return levenshtein.ComputeDistance(name, strings.ToLower(f.name)) }
	return slices.MinFunc(fields, func(a, b field) int { return edits(a) - edits(b) }).name
}

// decode reads a value of the given kind. encoding/json would take null for any.
func decode[T any](value json.RawMessage, kind string) (v T, err error) {
	switch got := kindOf(value); {
	case got == "null":
		return v, &fault{rule: "is null; give " + kind + ", or leave the field out"}
	case got != kind:
		return v, &fault{rule: "is " + got + "; give " + kind}
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return v, &fault{rule: "cannot be read; give " + kind}
	}
	return v, nil
}

func checkString(_ *Request, value json.RawMessage) error {
	_, err := decode[string](value, "a string")
	return err
}

func checkBool(_ *Request, value json.RawMessage) error {
	_, err := decode[bool](value, "a boolean")
	return err
}

func checkObject(_ *Request, value json.RawMessage) error {
	_, err := decode[json.RawMessage](value, "an object")
	return err
}

func (r *Request) checkPrompt(value json.RawMessage) error {
	prompt, err := decode[string](value, "a string")
	if err == nil && strings.TrimSpace(prompt) == "" {
		err = &fault{rule: "is blank; say what the agent shall do"}
	}
	return err
}

func (r *Request) checkURL(value json.RawMessage) error {
	text, err := decode[string](value, "a string")
	if err != nil {
		return err
	}
	const rule = "give an absolute URL that begins with http:// or https://"
	u, err := url.Parse(text)
	if err != nil {
		return &fault{rule: "cannot be read as a URL; " + rule} // not shown: it may hold a password
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return &fault{holds: u.Redacted(), rule: rule}
	}
	return nil
}

func (r *Request) readSessionID(value json.RawMessage) (err error) {
	r.SessionID, err = decode[string](value, "a string")
	switch {
	case err != nil:
		return err
	case strings.TrimSpace(r.SessionID) == "":
		return &fault{rule: "is blank; give the id of a session, or leave the field out"}
	case len(r.SessionID) > maxSessionID:
		return &fault{holds: r.SessionID, rule: fmt.Sprintf("give at most %d bytes", maxSessionID)}
	}
	return nil
}

// checkMaxSteps takes plain integers only: 1.0 and 1e2 are integers for JSON Schema and not for every
// reader behind the API, which gets the number as it is written.
func (r *Request) checkMaxSteps(value json.RawMessage) error {
	literal, err := decode[json.Number](value, "a number")
	if err != nil {
		return err
	}
	if n, err := strconv.ParseInt(string(literal), 10, 32); err != nil || n < 1 {
		return &fault{holds: string(literal), rule: fmt.Sprintf(
			"give an integer from 1 to %d, without fraction and exponent", math.MaxInt32)}
	}
	return nil
}

func (r *Request) readSecrets(value json.RawMessage) error {
	if err := checkObject(r, value); err != nil {
		return err
	}
	all := members(value)
	if len(all) > maxSecrets {
		return &fault{rule: fmt.Sprintf("has %d values; give at most %d", len(all), maxSecrets)}
	}
	secrets := make([]secret, 0, len(all))
	for _, m := range all {
		text, err := decode[string](m.value, "a string")
		if f, ok := errors.AsType[*fault](err); ok {
			f.field = "." + m.name
			return f
		}
		if len(m.name) > maxSecretName {
			return &fault{field: "." + m.name, rule: fmt.Sprintf("give a name of at most %d bytes", maxSecretName)}
		}
		secrets = append(secrets, secret{name: m.name, value: text})
	}
	r.Secrets = newSecrets(secrets)
	return nil
}

func (r *Request) readOutputSchema(value json.RawMessage) error {
	if err := checkObject(r, value); err != nil {
		return err
	}
	if _, err := compileSchema(value); err != nil {
		return &fault{rule: "is no JSON Schema that can be used", detail: err.Error()}
	}
	r.OutputSchema = value
	return nil
}

func (r *Request) checkTaskID(value json.RawMessage) error {
	id, err := decode[string](value, "a string")
	if err == nil && !wellFormed(id) {
		err = &fault{holds: id, rule: "give 1 to 128 of letters, digits, '.', '_', '-', '='; begin and end with a letter or digit; no '..'"}
	}
	return err
}

func (r *Request) readTimeout(value json.RawMessage) error {
	text, err := decode[string](value, "a string")
	if err != nil {
		return err
	}
	r.Timeout, err = time.ParseDuration(text)
	if err != nil || r.Timeout <= 0 || r.Timeout > maxTimeout {
		return &fault{holds: text, rule: fmt.Sprintf(`give a duration such as "90s" or "1h30m", at most %v`, maxTimeout)}
	}
	return nil
}

func (r *Request) readExpiresAt(value json.RawMessage) error {
	text, err := decode[string](value, "a string")
	if err != nil {
		return err
	}
	// The zero time is what some clients write for none; here it would pass for none as well.
	if r.ExpiresAt, err = time.Parse(time.RFC3339, text); err != nil || r.ExpiresAt.IsZero() {
		return &fault{holds: text, rule: `give a time as in RFC 3339, such as "2026-01-02T15:04:05Z", or leave the field out`}
	}
	return nil
}

func (r *Request) readOnUnknown(value json.RawMessage) error {
	text, err := decode[string](value, "a string")
	if err != nil {
		return err
	}
	if text != "fail" && text != "resubmit" {
		return &fault{holds: text, rule: `give "fail" or "resubmit"`}
	}
	r.Resubmit = text == "resubmit"
	return nil
}

func (r *Request) readMetadata(value json.RawMessage) error {
	if err := checkObject(r, value); err != nil {
		return err
	}
	if len(value) > maxMetadata {
		return &fault{rule: fmt.Sprintf("is %d bytes long; give at most %d", len(value), maxMetadata)}
	}
	r.Metadata = value
	return nil
}
