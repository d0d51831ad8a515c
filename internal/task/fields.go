package task

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agnivade/levenshtein"

	"github.com/capstan-worker/capstan/internal/jsonschema"
	"github.com/capstan-worker/capstan/internal/task/redact"
)

// Bounds of single fields. Those of secret_values are in secrets.go.
const (
	// In bytes. It becomes part of the record.
	maxSessionID = 256
	maxTimeout   = 30 * 24 * time.Hour
	// In bytes. It is returned on the event, together with the result.
	maxMetadata = 64 << 10
)

// secretValues is the field whose content is never shown.
const secretValues = "secret_values"

// onUnknownField is the field of Request.OnUnknown.
const onUnknownField = "on_unknown_submission"

// field is a row of the request's table.
type field struct {
	name string
	// It is part of the body that the API gets, as it came.
	sent bool
	// Checks the value and takes it into the request if the worker needs it. The error is a *violation that
	// does not name the field yet.
	read func(r *Request, value json.RawMessage) error
	// Returns what read accepts, as far as a JSON Schema can say it; see RequestSchema.
	schema func() *jsonschema.Schema
	// In the words of docs/messages.md.
	meaning string
}

// fields returns the request's table: every field that a request can have. Names are case-sensitive.
func fields() []field {
	return []field{
		{"prompt", true, checkPrompt, notBlank, "what the agent should do"},
		{"url", true, (*Request).readURL, webAddress, "absolute http(s) URL to start from. url or sessionId is required"},
		{"sessionId", false, (*Request).readSessionID, sessionID, "run in this existing browser session"},
		{"session", false, (*Request).readSession, sessionToCreate, "with SESSIONS=on: what the browser session is created with, session of POST /v1/sessions; passed through. Capstan adds its tags, and a timeout where none is given. Not together with sessionId"},
		{"browser", false, (*Request).readBrowser, anyObject, "with SESSIONS=on: what the session's browser is created with, browser of POST /v1/sessions; passed through. Not together with sessionId"},
		{"agent", true, checkString, anyText, "the agent, for example browser-use; passed through"},
		{"provider", true, checkString, anyText, "the provider of the model, for example openai; passed through"},
		{"model", true, checkString, anyText, "the model; passed through"},
		{"detect_elements", true, checkBool, anyBool, "turns element detection on or off; passed through, also an explicit false"},
		{"human_intervention", true, checkBool, anyBool, "lets a person step in, or not; passed through, also an explicit false"},
		{"highlight_elements", true, checkBool, anyBool, "turns the highlighting of elements on or off; passed through, also an explicit false"},
		{"use_vision", true, checkBool, anyBool, "sent by vendor clients; passed through"}, // these four: see isVendorField
		{"directly_open_url", true, checkBool, anyBool, "sent by vendor clients; passed through"},
		{"directlyOpenUrl", true, checkBool, anyBool, "sent by vendor clients; passed through"},
		{"extended_system_message", true, checkString, anyText, "sent by vendor clients; passed through"},
		{"max_steps", true, checkMaxSteps, stepCount, "maximum number of agent steps; passed through"},
		{secretValues, true, (*Request).readSecrets, secretTexts, "passed to the agent; never stored or shown"},
		{secretRefs, false, (*Request).readSecretRefs, secretFiles, "name → file under the worker's SECRETS_DIR. The worker reads the file right before each submission and sends it as one of secret_values"},
		{"output_schema", true, (*Request).readOutputSchema, anyObject, "passed through, and the result is validated against it"},
		{"async", false, checkBool, anyBool, "accepted and ignored: Capstan always submits asynchronously"},
		{"extra", false, checkObject, extraParameters, "API parameters that Capstan has no field for"},
		{"task_id", false, checkTaskID, taskName, "identity: 1 to 128 letters, digits, ., _, -, =. It begins and ends with a letter or digit and has no two dots in a row. Default: the Nats-Msg-Id header if it has that form, otherwise <stream>-<sequence>. No request may name itself <stream>-<number>"},
		{"batch", false, (*Request).readBatch, batchName, "groups tasks: 1 to 64 of the same characters as task_id. It is on the record, the event and the header Capstan-Batch"},
		{"timeout", false, (*Request).readTimeout, duration, "maximum run time of each run, from its submission; default TASK_TIMEOUT"},
		{"expires_at", false, (*Request).readExpiresAt, dateTime, "do not submit the first run after this time"},
		{onUnknownField, false, (*Request).readOnUnknown, onUnknown, "what Capstan does if it cannot tell whether Anchor accepted the task. fail: the task fails. resubmit: submit once more. fence, with SESSIONS=on and without sessionId: end the browser session, and submit once more only if the agent took no step in it. Default ON_UNKNOWN_SUBMISSION"},
		{"retries", false, (*Request).readRetries, retryCount, "how often a failed run is run again; default 0"},
		{"retry_on", false, (*Request).readRetryOn, retryCodes, "after which failures: workflow_failed, agent_failed, invalid_result, step_limit (the default is these four), timeout, workflow_lost"},
		{"retry_with", false, (*Request).readRetryWith, retryChanges, "agent, provider, model or max_steps of the first retry, the second and so on, in place of the request's"},
		{"metadata", false, (*Request).readMetadata, anyObject, "echoed unchanged on the event"},
	}
}

// isVendorField reports whether a field is missing in the API's document, but sent by the vendor's own clients.
func isVendorField(name string) bool {
	switch name {
	case "use_vision", "directly_open_url", "directlyOpenUrl", "extended_system_message":
		return true
	default:
		return false
	}
}

// read checks one member and takes it into the request. A field that is not known is a violation whose text
// proposes the most similar one.
func (r *Request) read(known []field, m member) error {
	i := slices.IndexFunc(known, func(f field) bool { return f.name == m.name })
	if i < 0 {
		return &violation{field: m.name, unknown: true, rule: fmt.Sprintf(`did you mean %q? (put new API parameters in "extra")`, nearest(m.name))}
	}
	return inField(m.name, known[i].read(r, m.value))
}

// isField reports whether a request can have a field of this name. Case counts.
func isField(name string) bool {
	return slices.ContainsFunc(fields(), func(f field) bool { return f.name == name })
}

// nearest returns the known field whose name takes the fewest edits. Case does not count.
func nearest(name string) string {
	name = strings.ToLower(truncate(name, maxShown))
	edits := func(f field) int { return levenshtein.ComputeDistance(name, strings.ToLower(f.name)) }
	return slices.MinFunc(fields(), func(a, b field) int { return edits(a) - edits(b) }).name
}

// mustBe refuses a value that is not of a kind; see kindName.
func mustBe(kind string, value json.RawMessage) error {
	switch got := kindName(value); got {
	case kind:
		return nil
	case "null":
		return &violation{rule: "must be " + kind + " or left out (got null)"}
	default:
		return &violation{rule: "must be " + kind + " (got " + got + ")"}
	}
}

// stringIn returns the text of a value that must be a string.
func stringIn(value json.RawMessage) (string, error) { return textOf(value), mustBe("a string", value) }

// checkString accepts every string: what it says is up to the API. checkBool and checkObject look no
// further, either.
func checkString(_ *Request, value json.RawMessage) error { return mustBe("a string", value) }

func checkBool(_ *Request, value json.RawMessage) error { return mustBe("a boolean", value) }

func checkObject(_ *Request, value json.RawMessage) error { return mustBe("an object", value) }

// checkPrompt accepts a text that is not blank.
func checkPrompt(_ *Request, value json.RawMessage) error {
	text, err := stringIn(value)
	if err == nil && strings.TrimSpace(text) == "" {
		err = &violation{rule: "must not be blank"}
	}
	return err
}

// readSessionID takes the browser session to run in. It is not blank: an empty id would count as none.
func (r *Request) readSessionID(value json.RawMessage) (err error) {
	r.SessionID, err = stringIn(value)
	switch {
	case err != nil:
		return err
	case strings.TrimSpace(r.SessionID) == "":
		return &violation{rule: "must not be blank; give the id of a session, or leave the field out"}
	case len(r.SessionID) > maxSessionID:
		return &violation{rule: fmt.Sprintf("must be at most %d bytes", maxSessionID), got: r.SessionID}
	}
	return nil
}

// checkMaxSteps accepts plain integers only. To JSON Schema 1.0 and 1e2 are integers as well, but not to every reader
// behind the API, which gets the number as it is written.
func checkMaxSteps(_ *Request, value json.RawMessage) error {
	if err := mustBe("a number", value); err != nil {
		return err
	}
	literal := string(value)
	if n, err := strconv.ParseInt(literal, 10, 32); err != nil || n < 1 {
		return &violation{rule: fmt.Sprintf("must be a plain integer from 1 to %d", math.MaxInt32), got: literal}
	}
	return nil
}

// readSecrets takes the values that the agent is given and that must not be shown. They must be strings; an
// empty one is allowed.
func (r *Request) readSecrets(value json.RawMessage) error {
	if err := checkObject(r, value); err != nil {
		return err
	}
	all := members(value)
	if len(all) > maxSecrets {
		return &violation{rule: fmt.Sprintf("must have at most %d values (got %d)", maxSecrets, len(all))}
	}
	secrets := make([]redact.Secret, 0, len(all))
	for _, m := range all {
		text, err := stringIn(m.value)
		if err == nil && len(m.name) > maxSecretName {
			err = &violation{rule: fmt.Sprintf("must have a name of at most %d bytes", maxSecretName)}
		}
		if err != nil {
			// The value is not shown, and neither is a name that contains a secret.
			return inField("."+m.name, err)
		}
		secrets = append(secrets, redact.Secret{Name: m.name, Value: text})
	}
	r.ownSecrets = secrets
	r.Secrets = Secrets{redact.New(secrets...)}
	return nil
}

// readOutputSchema takes the schema, which must be one that results can be checked against.
func (r *Request) readOutputSchema(value json.RawMessage) error {
	if err := checkObject(r, value); err != nil {
		return err
	}
	// It may have to wait for its turn. Each check before it is bounded, so the wait needs no bound of its
	// own.
	if err := r.schemas.Validate(context.Background(), value); err != nil {
		return &violation{rule: "is not a valid JSON Schema", detail: err.Error()}
	}
	r.OutputSchema = bytes.Clone(value)
	return nil
}

// readTimeout takes the maximum run time, in the notation of time.ParseDuration.
func (r *Request) readTimeout(value json.RawMessage) error {
	text, err := stringIn(value)
	if err != nil {
		return err
	}
	r.Timeout, err = time.ParseDuration(text)
	if err != nil || r.Timeout <= 0 || r.Timeout > maxTimeout {
		return &violation{rule: fmt.Sprintf(`must be a duration above 0, such as "90s" or "1h30m", and at most %v`, maxTimeout), got: text}
	}
	return nil
}

// rfc3339 is stricter than time.Parse; readExpiresAt says where.
var rfc3339 = regexp.MustCompile(rfc3339Pattern)

const rfc3339Pattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`

// readExpiresAt takes the time after which the task must not be submitted. It may be in the past: then the
// task expires.
func (r *Request) readExpiresAt(value json.RawMessage) error {
	text, err := stringIn(value)
	if err != nil {
		return err
	}
	// RFC 3339, section 5.6, allows a lowercase t and z, which Go does not. Go allows a comma, an hour of one digit and a zone
	// of 24 hours, which the RFC does not. Some clients write the zero time for none, but it would also count as none here.
	r.ExpiresAt, err = time.Parse(time.RFC3339, strings.ToUpper(text))
	if err != nil || !rfc3339.MatchString(text) || r.ExpiresAt.IsZero() {
		return &violation{rule: `must be an RFC 3339 time, such as "2026-01-02T15:04:05Z", or left out`, got: text}
	}
	return nil
}

// readOnUnknown takes the choice of what happens after a submission with an unknown outcome, instead of the
// worker's default.
func (r *Request) readOnUnknown(value json.RawMessage) error {
	text, err := stringIn(value)
	if err != nil {
		return err
	}
	r.OnUnknown = OnUnknown(text)
	if !slices.Contains(OnUnknowns(), r.OnUnknown) {
		return &violation{rule: `must be "fail", "resubmit" or "fence"`, got: text}
	}
	return nil
}

// readMetadata takes what the event returns unchanged.
func (r *Request) readMetadata(value json.RawMessage) error {
	if err := checkMetadata(value); err != nil {
		return err
	}
	r.Metadata = bytes.Clone(value)
	return nil
}

// checkMetadata is also for requests that break another rule: their event returns the metadata as well, if
// it is valid.
func checkMetadata(value json.RawMessage) error {
	if len(value) > maxMetadata {
		return &violation{rule: fmt.Sprintf("must be at most %d bytes (got %d)", maxMetadata, len(value))}
	}
	return mustBe("an object", value)
}
