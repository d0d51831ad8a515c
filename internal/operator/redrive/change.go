package redrive

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/operator/request"
)

// Change is a field that a new request has in place of the failed one's.
type Change struct {
	name  string
	value jsontext.Value
}

// ParseChange reads a change as name=value, where the value is JSON, or otherwise a string. The error names the rule of the field
// that the value breaks.
func ParseChange(text string) (Change, error) {
	name, value, ok := strings.Cut(text, "=")
	switch {
	case !ok || name == "":
		return Change{}, fmt.Errorf("must be FIELD=VALUE, such as max_steps=120 (got %.80q)", text)
	case name == "task_id":
		return Change{}, errors.New("task_id cannot be set: each run gets the next free one")
	}
	asText := request.CheckField(name, request.Quote(value))
	if json.Valid([]byte(value)) {
		asJSON := request.CheckField(name, []byte(value))
		if asJSON == nil {
			return Change{name, jsontext.Value(value)}, nil
		}
		if asText != nil || value == "null" { // which nobody means as a text
			return Change{}, asJSON
		}
	}
	if asText != nil {
		return Change{}, asText
	}
	return Change{name, request.Quote(value)}, nil
}
