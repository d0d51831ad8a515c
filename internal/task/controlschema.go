package task

import (
	"encoding/json"

	"github.com/capstan-worker/capstan/internal/jsonschema"
)

// CancellationSchema returns the schema of the value of a cancel key that is understood as it was meant. ParseCancellation
// takes any other value as well.
func CancellationSchema() *jsonschema.Schema {
	return lenient(jsonschema.Of[Cancellation](), &jsonschema.Schema{
		Title:       "Cancellation of a task or batch",
		Description: "The value of the key cancel.<task_id> or cancel-batch.<batch> in the KV bucket task_control: a reason, or an object with more. Every key that is there cancels, whatever its value is: one that does not fit this schema is the reason itself.",
		Examples: []json.RawMessage{
			json.RawMessage(`{"reason": "wrong customer", "by": "ada", "at": "2026-11-23T21:05:00Z"}`),
			json.RawMessage(`"wrong customer"`),
		},
	})
}

// PauseSchema returns the schema of the value of the key pause that is understood as it was meant. ParsePause takes any
// other value as well.
func PauseSchema() *jsonschema.Schema {
	return lenient(jsonschema.Of[Pause](), &jsonschema.Schema{
		Title:       "Pause of all submissions",
		Description: "The value of the key pause in the KV bucket task_control: a reason, or an object with more. While the key is there no worker submits a task, whatever its value is: one that does not fit this schema pauses until the key is deleted. Running tasks go on.",
		Examples: []json.RawMessage{
			json.RawMessage(`{"reason": "maintenance of the shop", "by": "ada", "until": "2026-11-24T06:00:00Z"}`),
			json.RawMessage(`"maintenance of the shop"`),
		},
	})
}

// lenient adds to a description what people write by hand: an object, or only a reason. A text of more than maxReason bytes
// is shortened.
func lenient(whole, described *jsonschema.Schema) *jsonschema.Schema {
	reason := anyText()
	reason.Description = "The reason."
	for _, text := range []*jsonschema.Schema{reason, whole.Property("reason"), whole.Property("by")} {
		text.MaxLength = new(maxReason)
	}
	described.AnyOf = []*jsonschema.Schema{whole, reason}
	return described
}
