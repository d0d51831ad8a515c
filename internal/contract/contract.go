// Package contract is what Capstan promises to other programs, in a form that programs read: a JSON Schema of each
// message and value, and an AsyncAPI document that says on which subjects and in which streams and buckets they are.
//
// The schemas are made by the packages that read and write the values. The folder api has them as files, and capstan
// schema prints them: both are what Documents returns.
package contract

import (
	"fmt"

	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/jsonschema"
	"github.com/capstan-worker/capstan/internal/limits"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

//go:generate go run ../../cmd/capstan schema --dir ../../api

// Document is one of the contract's files.
type Document struct {
	Name  string // such as "request"
	File  string // its name in the folder api
	Title string
	Text  []byte // JSON in ASCII, with a line break at the end
}

// AsyncAPI is the name of the document that describes subjects, streams and buckets. All others are schemas.
const AsyncAPI = "asyncapi"

// Documents returns all documents: those of the messages, those of the values in buckets, and AsyncAPI. It is the same on
// every call.
func Documents() []Document {
	var all []Document
	schemas := published()
	for _, each := range schemas {
		all = append(all, Document{each.name, each.name + ".schema.json", each.schema.Title, format(each.schema)})
	}
	return append(all, Document{AsyncAPI, AsyncAPI + ".json", "AsyncAPI 3: subjects, streams, buckets and headers", format(asyncAPI(schemas))})
}

// named is a schema and the name of its document.
type named struct {
	name   string
	schema *jsonschema.Schema
}

// published returns the schemas, each with its dialect and id.
func published() []named {
	all := []named{
		{"request", task.RequestSchema()},
		{"event", task.EventSchema()},
		{"record", task.RecordSchema()},
		{"cancel", task.CancellationSchema()},
		{"pause", task.PauseSchema()},
		{"limits", limits.Schema()},
		{"starts", admission.StartsSchema()},
		{"pace", poller.PaceSchema()},
	}
	for _, each := range all {
		each.schema.Dialect = jsonschema.Dialect
		each.schema.ID = schemaID(each.name)
	}
	return all
}

// schemaID returns the id of a schema. It is a name and no address: nothing is behind it, so nobody has to keep a host for
// it, and nobody else can take that host over. The number changes with a change that breaks readers or writers.
func schemaID(name string) string { return "urn:capstan:schema:" + name + ":1" }

// format returns the text of a document. It panics if the document cannot be written, which is a programmer's mistake.
func format(document any) []byte {
	text, err := jsonschema.Format(document)
	if err != nil {
		panic(fmt.Sprintf("contract: write a document: %v", err))
	}
	return text
}
