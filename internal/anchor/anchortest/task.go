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

// Task is a submission as the stand-in read it.
type Task struct {
	Prompt       string
	URL          string
	SessionID    string          // from the query
	OutputSchema json.RawMessage // nil where there is none
	Body         []byte          // as it was sent
}

// readTask reads as much as can be read, and says what is wrong with the rest.
func readTask(body []byte, sessionID string, anyField bool) (Task, error) {
	t := Task{SessionID: sessionID, Body: body}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return t, fmt.Errorf("the body is not a JSON object: %w", err)
	}
	_ = json.Unmarshal(fields["prompt"], &t.Prompt)
	_ = json.Unmarshal(fields["url"], &t.URL)
	t.OutputSchema = fields["output_schema"]
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if err := checkField(name, fields[name], anyField); err != nil {
			return t, err
		}
	}
	if strings.TrimSpace(t.Prompt) == "" {
		return t, errors.New("prompt is required")
	}
	if string(fields["async"]) != "true" {
		return t, errors.New("async must be true: this stand-in does not wait for a task's end")
	}
	return t, nil
}

// checkField checks a field against the documented types (OpenAPI document, PerformWebTaskRequestSchema), and those that
// only the vendor's clients send against what they send.
func checkField(name string, value json.RawMessage, anyField bool) error {
	switch name {
	case "prompt", "url", "model", "extended_system_message":
		return is[string](name, value)
	case "agent":
		return oneOf(name, value, "browser-use", "openai-cua", "gemini-computer-use", "anthropic-cua", "yutori")
	case "provider":
		return oneOf(name, value, "openai", "gemini", "groq", "azure", "xai")
	case "async", "detect_elements", "human_intervention", "highlight_elements", "use_vision", "directly_open_url", "directlyOpenUrl":
		return is[bool](name, value)
	case "max_steps":
		return is[int](name, value)
	case "secret_values":
		return is[map[string]string](name, value)
	case "output_schema":
		return is[map[string]any](name, value)
	}
	if anyField {
		return nil
	}
	return fmt.Errorf("%s is not a documented field", name)
}

func is[T any](name string, value json.RawMessage) error {
	var v T
	if bytes.Equal(value, []byte("null")) || json.Unmarshal(value, &v) != nil {
		return fmt.Errorf("%s has the wrong type: it must fit %T", name, v)
	}
	return nil
}

func oneOf(name string, value json.RawMessage, known ...string) error {
	var v string
	if json.Unmarshal(value, &v) != nil || !slices.Contains(known, v) {
		return fmt.Errorf("%s must be one of %s", name, strings.Join(known, ", "))
	}
	return nil
}
