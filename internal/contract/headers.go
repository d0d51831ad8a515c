package contract

import (
	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/jsonschema"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// header describes a header of a message.
type header struct {
	name        string
	description string
	value       any  // the only value; nil: there are several
	always      bool // each message has it
}

// trace are the headers of W3C Trace Context.
func trace(of string) []header {
	return []header{
		{name: "traceparent", description: "The trace that " + of + " belongs to (W3C Trace Context)."},
		{name: "tracestate", description: "The same, of a vendor (W3C Trace Context)."},
	}
}

// requestHeaders returns the headers of a request that a worker looks at.
func requestHeaders() *jsonschema.Schema {
	return headers(append([]header{
		{name: nats.MsgIdHdr, description: "By it the stream recognizes a copy of the message within its duplicate window. It is the task's id if the request has no task_id and it has the form of one."},
	}, trace("the request")...))
}

// eventHeaders returns the headers of an event. They include the attributes of CloudEvents 1.0 in binary mode.
func eventHeaders() *jsonschema.Schema {
	return headers(append([]header{
		{name: nats.MsgIdHdr, description: "The task's id. An event that is not the task's own has <task id>/<request sequence>/<Unix milliseconds at which the stream stored the request>: a replay, a duplicate_task, and a refusal if another request uses the id.", always: true},
		{name: "content-type", description: "The type of the event.", value: "application/json", always: true},
		{name: "ce-specversion", description: "The version of CloudEvents.", value: "1.0", always: true},
		{name: "ce-id", description: "The same as Nats-Msg-Id.", always: true},
		{name: publisher.SourceHeader, description: publisher.SourcePrefix + " and the stream of the request.", always: true},
		{name: "ce-type", description: "dev.capstan.task.succeeded or dev.capstan.task.failed.", always: true},
		{name: "ce-time", description: "When the verdict was reached, as finished_at.", always: true},
		{name: publisher.SubjectHeader, description: "The task's id.", always: true},
		{name: "ce-datacontenttype", description: "The type of the event.", value: "application/json", always: true},
		{name: "ce-dataschema", description: "The $id of the event's schema.", value: task.EventSchemaID, always: true},
		{name: publisher.SequenceHeader, description: "The sequence of the request that the event answers, in the stream that ce-source names.", always: true},
		{name: publisher.DigestHeader, description: "SHA-256 of the request's content in hex, without secret_values and metadata. It shows whether another request with the same task id is a copy."},
		{name: publisher.CodeHeader, description: "The code of a failure."},
		{name: publisher.BatchHeader, description: "The task's batch."},
		{name: publisher.ReplayHeader, description: "On an event that is published again because its request was published again.", value: "true"},
	}, trace("the task")...))
}

// deadLetterHeaders returns the headers that a worker adds to a request that it keeps.
func deadLetterHeaders() *jsonschema.Schema {
	return headers([]header{
		{name: nats.MsgIdHdr, description: "Stream and sequence of the request, and when the stream stored it.", always: true},
		{name: publisher.StreamHeader, description: "The stream that the request came from.", always: true},
		{name: publisher.SequenceHeader, description: "The request's sequence in that stream.", always: true},
		{name: publisher.ReasonHeader, description: "Why the task failed: the message of its event.", always: true},
		{name: publisher.TaskHeader, description: "The task's id."},
		{name: publisher.CodeHeader, description: "The code of the failure."},
		{name: publisher.HostHeader, description: "The host of the request's url."},
		{name: publisher.BatchHeader, description: "The task's batch."},
		{name: publisher.BodyHeader, description: "On a dead letter without a body, because it may hold secrets.", value: "withheld"},
		{name: publisher.ObjectHeader, description: "<bucket>/<object> that holds the body, if it is too large for a message."},
		{name: publisher.HeadersHeader, description: "<bucket>/<object> that holds the headers, if they are too large for a message."},
	})
}

// headers returns the schema of a message's headers. Other headers are allowed.
func headers(all []header) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object"}
	for _, each := range all {
		s.Properties = append(s.Properties, jsonschema.Property{
			Name: each.name, Schema: &jsonschema.Schema{Type: "string", Const: each.value, Description: each.description},
		})
		if each.always {
			s.Required = append(s.Required, each.name)
		}
	}
	return s
}
