// Package contracttest checks in tests that values keep Capstan's contract: that they fit the published schemas.
package contracttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/capstan-worker/capstan/internal/contract"
)

// Schema is a published schema that values can be checked against. Many goroutines may use it at once.
type Schema struct{ compiled *jsonschema.Schema }

// Load returns the schema that capstan schema prints under a name. It panics if there is none. The schema checks format as
// well, which validators do if they are told to.
func Load(name string) Schema {
	for _, each := range contract.Documents() {
		if each.Name == name {
			return compile(each.Text)
		}
	}
	panic("contracttest: no schema " + name)
}

// noLoader refuses to load other documents: a schema is complete in itself.
type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(url string) (any, error) { return nil, fmt.Errorf("%s is not loaded", url) }

// compile returns the schema with this text. It panics if that is not a schema.
func compile(text []byte) Schema {
	const place = "capstan:///schema"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.AssertFormat()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = c.AddResource(place, doc)
	}
	if err != nil {
		panic(fmt.Sprintf("contracttest: read schema: %v", err))
	}
	return Schema{c.MustCompile(place)}
}

// errNotJSON is why a text cannot be checked.
var errNotJSON = errors.New("not JSON")

// Check returns why a text does not fit the schema, or nil.
func (s Schema) Check(text []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%w: %w", errNotJSON, err)
	}
	return s.compiled.Validate(value)
}

// LoadHeaders returns the schema of a message's headers, which is a part of the AsyncAPI document, and the names of the
// headers in it. It panics if there is none. Headers are checked as an object of texts.
func LoadHeaders(message string) (s Schema, names []string) {
	var document struct {
		Components struct {
			Messages map[string]struct {
				Headers json.RawMessage `json:"headers"`
			} `json:"messages"`
		} `json:"components"`
	}
	var headers struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	for _, each := range contract.Documents() {
		if each.Name == contract.AsyncAPI {
			mustUnmarshal(each.Text, &document)
		}
	}
	text := document.Components.Messages[message].Headers
	mustUnmarshal(text, &headers)
	return compile(text), slices.Sorted(maps.Keys(headers.Properties))
}

func mustUnmarshal(text []byte, value any) {
	if err := json.Unmarshal(text, value); err != nil {
		panic(fmt.Sprintf("contracttest: read the AsyncAPI document: %v", err))
	}
}
