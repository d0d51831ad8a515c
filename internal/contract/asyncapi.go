package contract

import "github.com/capstan-worker/capstan/internal/jsonschema"

// object is a part of the AsyncAPI document, https://www.asyncapi.com/docs/reference/specification/v3.1.0.
type object = map[string]any

// asyncAPI returns the AsyncAPI document of a worker: what it receives, what it sends, and where. It contains the schemas,
// so that it can be read without other files.
func asyncAPI(schemas []named) object {
	return object{
		"asyncapi":           "3.1.0",
		"id":                 "urn:capstan:worker:1",
		"defaultContentType": "application/json",
		"info": object{
			"title":       "Capstan worker",
			"version":     Version,
			"description": about,
			"license":     object{"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
		},
		"servers": object{
			"nats": object{
				"host": "127.0.0.1:4222", "protocol": "nats",
				"description": "NATS 2.11 or newer, with JetStream. The address is the default of NATS_URL.",
			},
		},
		"channels":   channels(),
		"operations": operations(),
		"components": object{"messages": messages(), "schemas": embedded(schemas)},
	}
}

const about = `A worker takes task requests from a stream, runs each of them on Anchor Browser, and publishes one event per task.

All names are the defaults of settings. x-jetstream has what a client needs to know of a stream: the fields are those of NATS' own configuration, with durations in nanoseconds.

Publish a request through JetStream and wait for the acknowledgment: without one the request may not be stored, and should be published again with the same task_id, which never runs twice. Read events with a durable consumer, and acknowledge each after dealing with it. A result that does not fit into a message is in the object store task_results, and its event has result_ref.`

// embedded returns the schemas without the keywords that only a document of its own has.
func embedded(schemas []named) object {
	all := object{}
	for _, each := range schemas {
		inside := *each.schema
		inside.Dialect, inside.ID = "", ""
		all[each.name] = &inside
	}
	return all
}

// messages returns the messages by name. Those of the values in buckets have no headers that a client needs.
func messages() object {
	all := object{
		"deadLetter": object{
			"name": "deadLetter", "title": "Dead letter",
			"summary": "The request of a task that failed, with its own headers and these. Its secret_values are redacted.",
			"headers": deadLetterHeaders(), "payload": &jsonschema.Schema{Description: "The request as it was published, which may not be JSON."},
		},
	}
	for name, headers := range map[string]*jsonschema.Schema{
		"request": requestHeaders(), "event": eventHeaders(), "record": nil, "cancel": nil, "pause": nil, "limits": nil, "starts": nil, "pace": nil,
	} {
		message := object{"name": name, "payload": object{"$ref": "#/components/schemas/" + name}}
		if headers != nil {
			message["headers"] = headers
		}
		all[name] = message
	}
	return all
}
