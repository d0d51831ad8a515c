package task

import (
	"encoding/json"

	"github.com/capstan-worker/capstan/internal/jsonschema"
)

// RecordSchema returns the schema of a record as workers write it. ParseRecord takes more than that: a record without
// some of its members, for one.
func RecordSchema() *jsonschema.Schema {
	s := jsonschema.Of[Record]()
	s.Title = "Record of a task"
	s.Description = "The state of a task while it runs, and for a while after: the value of the task's id in the KV bucket task_tracker. All times come from the NATS server's clock. A later version may have more members, reasons to wait and error codes."
	s.Property("task_id").MinLength = new(1)
	s.Property("state").Enum = oneOf(Waiting, Submitting, Running, Succeeded, Failed).Enum
	s.Property("waits_for").AnyOf = []*jsonschema.Schema{oneOf(ForPause, ForRate, ForPlan, ForSlots, ForRetry), anyText()}
	describeCode(s.Property("error_code"))
	describeCode(s.Property("runs").Items.Property("code"))
	isRunning := jsonschema.Properties{{Name: "state", Schema: &jsonschema.Schema{Const: Running}}}
	s.If = &jsonschema.Schema{Properties: isRunning}
	known := anyText()
	known.MinLength = new(1)
	s.Then = &jsonschema.Schema{Required: []string{"workflow_id"}, Properties: jsonschema.Properties{{Name: "workflow_id", Schema: known}}}
	s.Examples = []json.RawMessage{
		json.RawMessage(`{
			"task_id": "ord-1842", "state": "running", "owner": "worker-6f9c", "epoch": 1, "request_seq": 7, "digest": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
			"workflow_id": "perform-web-task-execution-eb2eaa7a", "attempts": 1, "requested_at": "2026-11-23T21:00:00.1Z", "submitted_at": "2026-11-23T21:00:00.4Z",
			"updated_at": "2026-11-23T21:00:00.4Z", "host": "example.com"
		}`),
		json.RawMessage(`{
			"task_id": "ord-1843", "state": "waiting", "owner": "worker-6f9c", "epoch": 2, "request_seq": 8, "digest": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
			"requested_at": "2026-11-23T21:00:00.2Z", "updated_at": "2026-11-23T21:01:03.5Z", "batch": "night", "host": "example.com",
			"waits_for": "plan"
		}`),
	}
	return s
}
