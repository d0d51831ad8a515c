package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of an output_schema. Compiling takes the square of the number of subschemas.
const (
	maxSchema       = 256 << 10 // bytes
	maxSchemaValues = 10_000    // JSON values in it
)

// What the compiler calls the schema, and what a reference without a host of its own begins with.
// Nothing can be loaded from either.
const (
	schemaBase = "capstan:///"
	schemaURL  = schemaBase + "output_schema"
)

// schema is a compiled output_schema. It is made where it is needed and dropped: a compiled one takes
// many times the memory of its text. It is not safe for concurrent use.
type schema struct {
	root  *jsonschema.Schema
	meter *meter
}

// nothing is a loader that refuses: a schema is complete in itself.
type nothing struct{}

func (nothing) Load(string) (any, error) { return nil, errors.New("no other document is loaded") }

// compileSchema compiles JSON Schema of any draft from 4 to 2020-12, which is the default. The error
// says what is wrong, and may quote the schema.
func compileSchema(raw json.RawMessage) (s *schema, err error) {
	// The validator is foreign code with foreign input: a panic in it is the schema's fault.
	defer func() {
		if broken := recover(); broken != nil {
			s, err = nil, asError(broken)
		}
	}()
	if len(raw) > maxSchema {
		return nil, fmt.Errorf("it is %d bytes long; at most %d are read", len(raw), maxSchema)
	}
	doc, err := toGo(raw)
	if err != nil {
		return nil, err
	}
	if countValues(doc) > maxSchemaValues {
		return nil, fmt.Errorf("it holds more than %d values", maxSchemaValues)
	}
	s = &schema{meter: &meter{}}
	s.meter.start(maxSchemaValues)
	if err := s.compile(doc); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *schema) compile(doc any) error {
	var all []*jsonschema.Schema
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nothing{})
	c.UseRegexpEngine(s.meter.compilePattern)
	c.RegisterVocabulary(vocabulary(func(each *jsonschema.Schema) { all = append(all, each) }))
	c.AssertVocabs()
	if err := c.AddResource(schemaURL, doc); err != nil {
		return fmt.Errorf("add it: %w", err)
	}
	root, err := c.Compile(schemaURL)
	if invalid, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if broken, ok := errors.AsType[*jsonschema.ValidationError](invalid.Err); ok {
			return violations(broken)
		}
	}
	if err != nil {
		return errors.New(strings.NewReplacer(schemaURL, "", schemaBase, "").Replace(err.Error()))
	}
	for _, each := range all {
		s.meter.install(each)
	}
	s.root = root
	return nil
}

// vocabulary is how each schema that is compiled gets to be seen, in any draft.
func vocabulary(seen func(*jsonschema.Schema)) *jsonschema.Vocabulary {
	return &jsonschema.Vocabulary{
		URL: "urn:capstan:meter",
		Compile: func(ctx *jsonschema.CompilerContext, _ map[string]any) (jsonschema.SchemaExt, error) {
			seen(ctx.Enqueue(nil)) // nil is the way to the schema itself
			return nil, nil
		},
	}
}

// check returns nil where the JSON fits the schema. The error says what does not: places are JSON
// pointers (RFC 6901), and no more of the JSON is quoted than the names in them.
func (s *schema) check(raw json.RawMessage) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = asError(broken)
		}
	}()
	instance, err := toGo(raw)
	if err != nil {
		return err
	}
	s.meter.start(countValues(instance))
	err = s.root.Validate(instance)
	if broken, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return violations(broken)
	}
	return err
}

func asError(panicked any) error {
	if err, ok := panicked.(error); ok && errors.Is(err, errCostly) {
		return err
	}
	return errors.New("the validator cannot handle it")
}

// hasResult reports whether the schema describes an object with a result of its own.
func (s *schema) hasResult() bool { return s.root.Properties["result"] != nil }

// toGo reads JSON as the validator wants it. Numbers that it could not compute with are an error.
func toGo(raw json.RawMessage) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if n := outlandish(v); n != "" {
		return nil, fmt.Errorf("the number %s does not fit a float64", cut(string(n), maxShown))
	}
	return v, nil
}

// outlandish returns a number in v that is not legal, or "".
func outlandish(v any) json.Number {
	var found json.Number
	eachValue(v, func(v any) {
		if n, ok := v.(json.Number); ok && !legalNumber(string(n)) {
			found = n
		}
	})
	return found
}

func countValues(v any) (n int) {
	eachValue(v, func(any) { n++ })
	return n
}

// eachValue calls f with v and every value in it.
func eachValue(v any, f func(any)) {
	f(v)
	switch v := v.(type) {
	case map[string]any:
		for _, each := range v {
			eachValue(each, f)
		}
	case []any:
		for _, each := range v {
			eachValue(each, f)
		}
	}
}
