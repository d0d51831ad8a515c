package anchortest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Task is what the stand-in read of a submission.
type Task struct {
	Prompt       string
	URL          string
	SessionID    string          // from the query
	Async        bool            // whether the client polls, and does not wait for the result
	Number       int             // 1 for the first task that was submitted
	OutputSchema json.RawMessage // nil if there is none
	Body         []byte          // the bytes that were sent
}

// FirstWord returns the first word of a prompt. It is for WithTaskName, if tests begin their prompts with the task's id.
func FirstWord(t Task) string {
	name, _, _ := strings.Cut(t.Prompt, " ")
	return name
}

// readTask reads what it can, and returns an error if the API would answer with 400. The task has what
// could be read even then, so that the log can name it.
func readTask(body []byte, sessionID string) (Task, error) {
	t := Task{SessionID: sessionID, Body: body}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return t, fmt.Errorf("the body is not a JSON object: %w", err)
	}
	_ = json.Unmarshal(fields["prompt"], &t.Prompt)
	_ = json.Unmarshal(fields["url"], &t.URL)
	_ = json.Unmarshal(fields["async"], &t.Async)
	t.OutputSchema = fields["output_schema"]
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if err := checkField(name, fields[name]); err != nil {
			return t, err
		}
	}
	if strings.TrimSpace(t.Prompt) == "" {
		return t, errors.New("prompt is required")
	}
	return t, nil
}

// checkField checks the type of a field. The types are those of the API's OpenAPI document (PerformWebTaskRequestSchema);
// the fields that are not in it, such as use_vision and directlyOpenUrl, are sent by the vendor's own clients.
func checkField(name string, value json.RawMessage) error {
	switch name {
	case "prompt", "url", "model", "extended_system_message":
		return mustBe[string](name, value, "a string")
	case "agent":
		return mustBeOneOf(name, value, "browser-use", "openai-cua", "gemini-computer-use", "anthropic-cua", "yutori")
	case "provider":
		return mustBeOneOf(name, value, "openai", "gemini", "groq", "azure", "xai")
	case "async", "detect_elements", "human_intervention", "highlight_elements", "use_vision", "directly_open_url", "directlyOpenUrl":
		return mustBe[bool](name, value, "a boolean")
	case "max_steps":
		return mustBe[int](name, value, "an integer")
	case "secret_values":
		return mustBe[map[string]string](name, value, "an object of strings")
	case "output_schema":
		return mustBe[map[string]any](name, value, "an object")
	}
	return fmt.Errorf("%s is not a documented field", name)
}

// mustBe checks the type of a field, whose name in plain words is kind. It refuses null as well.
func mustBe[T any](name string, value json.RawMessage, kind string) error {
	var v T
	if bytes.Equal(value, []byte("null")) || json.Unmarshal(value, &v) != nil {
		return fmt.Errorf("%s must be %s", name, kind)
	}
	return nil
}

// mustBeOneOf checks a field with a closed set of values.
func mustBeOneOf(name string, value json.RawMessage, known ...string) error {
	var v string
	if json.Unmarshal(value, &v) != nil || !slices.Contains(known, v) {
		return fmt.Errorf("%s must be one of %s", name, strings.Join(known, ", "))
	}
	return nil
}
