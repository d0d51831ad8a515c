package task

import (
	"encoding/json"

	"github.com/capstan-worker/capstan/internal/jsonschema"
)

// EventSchemaID identifies the schema of an event. It changes only with a change that readers of events would notice.
const EventSchemaID = "urn:capstan:schema:event:1"

// EventSchema returns the schema of an event as workers publish it.
func EventSchema() *jsonschema.Schema {
	s := jsonschema.Of[Event]()
	s.Title = "Event of a task"
	s.Description = "The result of a task, on the subject tasks.result. A later version may have more members and more error codes."
	s.Property("task_id").MinLength = new(1)
	s.Property("status").Enum = oneOf(Succeeded, Failed).Enum
	s.Property("metadata").Type = "object"
	describeCode(s.Property("error").Property("code"))
	describeCode(s.Property("runs").Items.Property("code"))
	hasFailed := jsonschema.Properties{{Name: "status", Schema: &jsonschema.Schema{Const: Failed}}}
	s.If = &jsonschema.Schema{Properties: hasFailed}
	s.Then = &jsonschema.Schema{Required: []string{"error"}}
	s.Else = &jsonschema.Schema{Not: &jsonschema.Schema{Required: []string{"error"}}}
	s.Examples = []json.RawMessage{
		json.RawMessage(`{
			"task_id": "ord-1842", "status": "succeeded", "workflow_id": "perform-web-task-execution-eb2eaa7a", "workflow_status": "COMPLETED",
			"result": {"heading": "Example Domain"}, "metadata": {"order": 1842},
			"requested_at": "2026-11-23T21:00:00.1Z", "submitted_at": "2026-11-23T21:00:00.4Z", "finished_at": "2026-11-23T21:00:18.9Z",
			"attempts": 1, "polls": 9, "unnoticed_ms": 1840, "worker": "worker-6f9c"
		}`),
		json.RawMessage(`{
			"task_id": "ord-1843", "status": "failed", "workflow_id": "perform-web-task-execution-3ab3ffdb", "workflow_status": "COMPLETED",
			"raw_result": "I could not log in", "error": {"code": "agent_failed", "message": "the agent reported a failure: I could not log in", "retryable": true},
			"requested_at": "2026-11-23T21:00:00.1Z", "submitted_at": "2026-11-23T21:00:00.4Z", "finished_at": "2026-11-23T21:00:31.2Z",
			"attempts": 1, "polls": 14, "session_id": "8c7f1b6e-3f0a-4f5e-9d57-2b8f5a0c9e11", "session_ended": true, "steps": 9, "credits": 0.12,
			"worker": "worker-6f9c"
		}`),
	}
	return s
}

// describeCode lists the codes in the schema of a text. A later version may have more, so any other text fits as well.
func describeCode(s *jsonschema.Schema) {
	s.AnyOf = []*jsonschema.Schema{oneOf(Codes()...), anyText()}
}
