package limits

import (
	"encoding/json"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/jsonschema"
)

// Schema returns the schema of a Cap as workers write it and read it. They ignore a value that breaks it.
func Schema() *jsonschema.Schema {
	s := jsonschema.Of[Cap]()
	s.Title = "Limit of tasks in progress"
	s.Description = "The value of the key limits in the KV bucket task_control. The workers write it; do not write it yourself."
	within := func(name string, least, most int64) {
		s.Property(name).Minimum, s.Property(name).Maximum = &least, &most
	}
	within("in_flight", 1, jet.MaxAckPending)
	within("plan", -1, many)
	within("most", 0, jet.MaxAckPending)
	within("wait", 0, int64(longestWait))
	within("steps", 0, many)
	s.Examples = []json.RawMessage{
		json.RawMessage(`{
			"in_flight": 22, "plan": 25, "reason": "the API refused more while 22 ran", "changed_at": "2026-11-23T21:00:00Z",
			"plan_at": "2026-11-23T20:58:11Z", "wait": 20000000000, "raise_at": "2026-11-23T21:00:20Z"
		}`),
	}
	return s
}
