package task

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"github.com/capstan-worker/capstan/internal/task/redact"
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

// fields returns the request's table: every field that a request can have. Names are matched exactly. It is an array for
// the sake of each request's parsing, which need not allocate it.
func fields() [23]field {
	return [...]field{
		{"prompt", true, checkPrompt},
		{"url", true, checkURL},
		{"sessionId", false, (*Request).readSessionID},
		{"agent", true, checkString},
		{"provider", true, checkString},
		{"model", true, checkString},
		{"detect_elements", true, checkBool},
		{"human_intervention", true, checkBool},
		{"highlight_elements", true, checkBool},
		{"use_vision", true, checkBool}, // from here on: see isVendorField
		{"directly_open_url", true, checkBool},
		{"directlyOpenUrl", true, checkBool},
		{"extended_system_message", true, checkString},
		{"max_steps", true, checkMaxSteps},
		{secretValues, true, (*Request).readSecrets},
		{"output_schema", true, (*Request).readOutputSchema},
		{"async", false, checkBool}, // accepted and ignored
		{"extra", false, checkObject},
		{"task_id", false, checkTaskID},
		{"timeout", false, (*Request).readTimeout},
		{"expires_at", false, (*Request).readExpiresAt},
		{"on_unknown_submission", false, (*Request).readOnUnknown},
		{"metadata", false, (*Request).readMetadata},
	}
}

// isVendorField reports whether a field is sent by vendor clients but not in the API's document.
func isVendorField(name string) bool {
	switch name {
	case "use_vision", "directly_open_url", "directlyOpenUrl", "extended_system_message":
		return true
	default:
		return false
	}
}

// read takes one member into the request.
func (r *Request) read(known []field, m member) error {
	i := slices.IndexFunc(known, func(f field) bool { return f.name == m.name })
	if i < 0 {
		return &fault{field: m.name, rule: fmt.Sprintf(
			"is not a known field; the nearest is %s (extra takes parameters that are new to the API)", nearest(m.name))}
	}
	return inField(m.name, known[i].read(r, m.value))
}

// inField puts the name before the place of a fault inside the field.
func inField(name string, err error) error {
	if f, ok := errors.AsType[*fault](err); ok {
		f.field = name + f.field
	}
	return err
}

func isField(name string) bool {
	known := fields()
	return slices.ContainsFunc(known[:], func(f field) bool { return f.name == name })
}

// nearest returns the known field whose name takes the fewest edits, whatever its case.
func nearest(name string) string {
	name = strings.ToLower(cut(name, maxShown))
	edits := func(f field) int { return levenshtein.ComputeDistance(name, strings.ToLower(f.name)) }
	known := fields()
	return slices.MinFunc(known[:], func(a, b field) int { return edits(a) - edits(b) }).name
}

// demand refuses a value of another kind; see kindName.
func demand(kind string, value json.RawMessage) error {
	switch got := kindName(value); got {
	case kind:
		return nil
	case "null":
		return &fault{rule: "is null; give " + kind + ", or leave the field out"}
	default:
		return &fault{rule: "is " + got + "; give " + kind}
	}
}

// stringIn returns the text of a value, which has to be a string.
func stringIn(value json.RawMessage) (string, error) {
	if err := demand("a string", value); err != nil {
		return "", err
	}
	return textOf(value), nil
}

func checkString(_ *Request, value json.RawMessage) error { return demand("a string", value) }

func checkBool(_ *Request, value json.RawMessage) error { return demand("a boolean", value) }

func checkObject(_ *Request, value json.RawMessage) error { return demand("an object", value) }

func checkPrompt(_ *Request, value json.RawMessage) error {
	err := demand("a string", value)
	if err == nil && strings.TrimSpace(textOf(value)) == "" {
		err = &fault{rule: "is blank; say what the agent shall do"}
	}
	return err
}

func (r *Request) readSessionID(value json.RawMessage) (err error) {
	r.SessionID, err = stringIn(value)
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
func checkMaxSteps(_ *Request, value json.RawMessage) error {
	if err := demand("a number", value); err != nil {
		return err
	}
	literal := string(value)
	if n, err := strconv.ParseInt(literal, 10, 32); err != nil || n < 1 {
		return &fault{holds: literal, rule: fmt.Sprintf(
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
	secrets := make([]redact.Secret, 0, len(all))
	for _, m := range all {
		text, err := stringIn(m.value)
		if err == nil && len(m.name) > maxSecretName {
			err = &fault{rule: fmt.Sprintf("give a name of at most %d bytes", maxSecretName)}
		}
		if err != nil {
			return inField("."+m.name, err)
		}
		secrets = append(secrets, redact.Secret{Name: m.name, Value: text})
	}
	r.Secrets = Secrets{redact.New(secrets...)}
	return nil
}

func (r *Request) readOutputSchema(value json.RawMessage) error {
	if err := checkObject(r, value); err != nil {
		return err
	}
	if err := r.schemas.Validate(context.Background(), value); err != nil {
		return &fault{rule: "is no JSON Schema that can be used", detail: err.Error()}
	}
	r.OutputSchema = bytes.Clone(value)
	return nil
}

func checkTaskID(r *Request, value json.RawMessage) error {
	id, err := stringIn(value)
	if err == nil && !wellFormed(id) {
		err = &fault{holds: id, rule: "give 1 to 128 of letters, digits, '.', '_', '-', '='; begin and end with a letter or digit; no '..'"}
	}
	if err == nil {
		err = r.Delivery.checkIdentity(id)
	}
	return err
}

func (r *Request) readTimeout(value json.RawMessage) error {
	text, err := stringIn(value)
	if err != nil {
		return err
	}
	r.Timeout, err = time.ParseDuration(text)
	if err != nil || r.Timeout <= 0 || r.Timeout > maxTimeout {
		return &fault{holds: text, rule: fmt.Sprintf(`give a duration such as "90s" or "1h30m", at most %v`, maxTimeout)}
	}
	return nil
}

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

func (r *Request) readExpiresAt(value json.RawMessage) error {
	text, err := stringIn(value)
	if err != nil {
		return err
	}
	// RFC 3339, section 5.6, lets t and z be small, which Go does not, and has no comma and no hour of one digit, which Go takes.
	// The zero time is what some clients write for none; here it would pass for none as well.
	upper := strings.ToUpper(text)
	r.ExpiresAt, err = time.Parse(time.RFC3339, upper)
	if err != nil || !rfc3339.MatchString(upper) || r.ExpiresAt.IsZero() {
		return &fault{holds: text, rule: `give a time as in RFC 3339, such as "2026-01-02T15:04:05Z", or leave the field out`}
	}
	return nil
}

func (r *Request) readOnUnknown(value json.RawMessage) error {
	text, err := stringIn(value)
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
	r.Metadata = bytes.Clone(value)
	return nil
}
