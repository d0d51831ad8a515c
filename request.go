package capstan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Request is a task to run. Prompt, and URL or SessionID, are required. docs/messages.md describes the fields. Those that
// are empty are left out; a boolean that is false is sent if it is given, as in UseVision: new(false).
type Request struct {
	TaskID string `json:"task_id,omitempty"` // empty: a random one, which the event and the errors name
	Batch  string `json:"batch,omitempty"`   // groups tasks

	Prompt    string `json:"prompt"`              // what the agent should do
	URL       string `json:"url,omitempty"`       // absolute http(s) URL to start from
	SessionID string `json:"sessionId,omitempty"` // run in this existing browser session

	// What the session is created with if the workers have SESSIONS=on: the objects session and browser of POST /v1/sessions.
	Session map[string]any `json:"session,omitempty"`
	Browser map[string]any `json:"browser,omitempty"`

	Agent                 string `json:"agent,omitempty"`
	Provider              string `json:"provider,omitempty"`
	Model                 string `json:"model,omitempty"`
	DetectElements        *bool  `json:"detect_elements,omitempty"`
	HumanIntervention     *bool  `json:"human_intervention,omitempty"`
	HighlightElements     *bool  `json:"highlight_elements,omitempty"`
	UseVision             *bool  `json:"use_vision,omitempty"`
	DirectlyOpenURL       *bool  `json:"directly_open_url,omitempty"`
	ExtendedSystemMessage string `json:"extended_system_message,omitempty"`
	MaxSteps              int    `json:"max_steps,omitempty"`
	Async                 *bool  `json:"async,omitempty"` // ignored: Capstan always submits asynchronously

	SecretValues map[string]string `json:"secret_values,omitempty"` // given to the agent; never stored or shown
	SecretRefs   map[string]string `json:"secret_refs,omitempty"`   // name → file in SECRETS_DIR of the workers
	OutputSchema map[string]any    `json:"output_schema,omitempty"` // JSON Schema of the result
	Extra        map[string]any    `json:"extra,omitempty"`         // API parameters that have no field here
	Metadata     map[string]any    `json:"metadata,omitempty"`      // returned on the event

	Timeout             Duration    `json:"timeout,omitempty"`               // maximum run time
	ExpiresAt           time.Time   `json:"expires_at,omitzero"`             // do not submit after this time
	OnUnknownSubmission string      `json:"on_unknown_submission,omitempty"` // "fail", "resubmit" or "fence"
	Retries             int         `json:"retries,omitempty"`               // how often a failed run is run again
	RetryOn             []Code      `json:"retry_on,omitzero"`               // after which failures
	RetryWith           []RetryWith `json:"retry_with,omitempty"`            // what the first retry, the second and so on change
}

// RetryWith is what a retry has in place of the request's fields.
type RetryWith struct {
	Agent    string `json:"agent,omitempty"`
	Provider string `json:"provider,omitempty"`
	Model    string `json:"model,omitempty"`
	MaxSteps int    `json:"max_steps,omitempty"`
}

// Duration is a time.Duration that is a text such as "1h30m0s" in JSON.
type Duration time.Duration

// MarshalText writes the duration as [time.Duration] does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what [time.ParseDuration] reads.
func (d *Duration) UnmarshalText(text []byte) error {
	read, err := time.ParseDuration(string(text))
	*d = Duration(read)
	return err
}

// Longest names, in bytes.
const (
	maxTaskID = 128
	maxBatch  = 64
)

// check refuses what can be told to be wrong without a worker. A worker knows more rules: a request that breaks one gets
// an event with the code invalid_request.
func (r *Request) check() error {
	switch {
	case !isName(r.TaskID, maxTaskID):
		return nameError("task_id (TaskID)", r.TaskID, maxTaskID)
	case r.Batch != "" && !isName(r.Batch, maxBatch):
		return nameError("batch (Batch)", r.Batch, maxBatch)
	case strings.TrimSpace(r.Prompt) == "":
		return errors.New("prompt (Prompt) must not be blank")
	case r.URL == "" && r.SessionID == "":
		return errors.New("set url (URL) or sessionId (SessionID)")
	}
	return nil
}

// isName reports whether a text can be a task id or the name of a batch.
func isName(text string, longest int) bool {
	const (
		ends   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		inside = ends + "._-="
	)
	return text != "" && len(text) <= longest && strings.Trim(text, inside) == "" && !strings.Contains(text, "..") &&
		strings.IndexByte(ends, text[0]) >= 0 && strings.IndexByte(ends, text[len(text)-1]) >= 0
}

func nameError(field, got string, longest int) error {
	const shown = 80
	if len(got) > shown {
		got = got[:shown] + "…"
	}
	return fmt.Errorf("%s must be 1 to %d letters, digits, '.', '_', '-' or '=', begin and end with a letter or digit, and have no '..' (got %q)",
		field, longest, got)
}

// digestOf returns the digest by which workers tell whether two requests with one task id are the same: the SHA-256 of the
// JSON with its names in order and without space, secret_values and metadata.
func digestOf(request []byte) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(request))
	dec.UseNumber() // numbers count as they are written
	var content map[string]any
	if err := dec.Decode(&content); err != nil {
		return "", fmt.Errorf("read request: %w", err)
	}
	delete(content, "secret_values")
	delete(content, "metadata")
	canonical, err := json.Marshal(content)
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}
