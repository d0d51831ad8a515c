package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of a schema. The validator's compiler takes time proportional to the square of the number of subschemas.
const (
	// The longest text of a schema, in bytes.
	maxSchema = 256 << 10
	// The most JSON values in a schema, including those inside others.
	maxSchemaValues = 10_000
	// Compiling costs a step for each pair of values, divided by this.
	compileSquare = 200
)

// The URL of the schema for the compiler, and the beginning of references without a host. Nothing is loaded from them.
const (
	schemaBase = "capstan:///"
	schemaURL  = schemaBase + "output_schema"
)

// compiled is a schema that values can be checked against. It takes many times the memory of its text. Only one goroutine may
// use it at a time.
type compiled struct {
	root  *jsonschema.Schema
	meter *meter
	// How many subschemas at most are applied inside one another to the same value.
	chain int
	// The schema uses unevaluatedProperties or unevaluatedItems.
	evaluates bool
	// The schema uses uniqueItems.
	unique bool
}

// noLoader refuses to load other documents, so that no $ref makes the worker read a file or call a server.
type noLoader struct{}

// Load implements jsonschema.URLLoader.
func (noLoader) Load(string) (any, error) { return nil, errors.New("no other document is loaded") }

// measureSchema measures a schema. It returns an error if the schema is not JSON or is too large. compile
// must get what it returns.
func measureSchema(raw []byte) (measure, error) {
	if len(raw) > maxSchema {
		return measure{}, fmt.Errorf("it is %d bytes long; at most %d are allowed", len(raw), maxSchema)
	}
	in, err := measureJSON(raw)
	if err == nil && in.values > maxSchemaValues {
		err = fmt.Errorf("it has more than %d values", maxSchemaValues)
	}
	return in, err
}

// compile compiles a schema that was measured. The error says what is wrong with the schema and may quote it.
func compile(raw []byte, in measure, m *meter) (c *compiled, err error) {
	// The meter panics to stop the compiler. Any other panic is a fault of the validator's with this schema.
	defer func() {
		if broken := recover(); broken != nil {
			c, err = nil, asError(broken)
		}
	}()
	// The compiler cannot be stopped while it does most of its work, so that is paid for in advance.
	m.spend(in.values * (1 + in.values/compileSquare))
	doc, err := decodeJSON(raw, m)
	if err != nil {
		return nil, err
	}
	c = &compiled{meter: m}
	all, err := c.compile(doc)
	if err != nil {
		return nil, err
	}
	c.install(all)
	return c, nil
}

// compile sets the root and returns all subschemas, except those that are only true or false. The error is
// for the author of the schema.
func (c *compiled) compile(doc any) ([]*jsonschema.Schema, error) {
	var all []*jsonschema.Schema
	engine := &patterns{meter: c.meter, known: map[string]*pattern{}}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.UseLoader(noLoader{})
	compiler.UseRegexpEngine(engine.compile)
	// The only way to see all subschemas is a vocabulary of our own, which sees each one as it is compiled.
	compiler.RegisterVocabulary(vocabulary(func(each *jsonschema.Schema) {
		c.meter.spend(1)
		all = append(all, each)
	}))
	// Without this, the vocabulary would have no effect in drafts since 2019-09, whose metaschemas do not
	// name it.
	compiler.AssertVocabs()
	if err := compiler.AddResource(schemaURL, doc); err != nil {
		return nil, fmt.Errorf("add it: %w", err)
	}
	root, err := compiler.Compile(schemaURL)
	// The schema breaks the metaschema of its draft.
	if invalid, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if broken, ok := errors.AsType[*jsonschema.ValidationError](invalid.Err); ok {
			return nil, violations(broken)
		}
	}
	if err != nil { // its text contains our URL, which means nothing to the author of the schema
		return nil, errors.New(strings.NewReplacer(schemaURL, "", schemaBase, "").Replace(err.Error()))
	}
	// From now on only values with "format": "regex" bring new patterns.
	c.root, engine.complete = root, true
	return all, nil
}

// vocabulary calls seen for each subschema that is compiled, in any draft. It adds no keywords.
func vocabulary(seen func(*jsonschema.Schema)) *jsonschema.Vocabulary {
	return &jsonschema.Vocabulary{
		URL: "urn:capstan:meter",
		Compile: func(ctx *jsonschema.CompilerContext, _ map[string]any) (jsonschema.SchemaExt, error) {
			seen(ctx.Enqueue(nil)) // the empty path leads to the schema itself
			return nil, nil
		},
	}
}

// install puts the meter into all subschemas. The compiler does not report those that are only true or false, so it finds
// them itself.
func (c *compiled) install(all []*jsonschema.Schema) {
	chains := chains{heights: map[*jsonschema.Schema]int{}}
	known := map[*jsonschema.Schema]bool{}
	for _, s := range all {
		known[s] = true
		// The keywords must be looked at now: meter.install takes uniqueItems from the schema.
		c.chain = max(c.chain, chains.height(s))
		c.evaluates = c.evaluates || s.UnevaluatedItems != nil || s.UnevaluatedProperties != nil
		c.unique = c.unique || s.UniqueItems
	}
	if chains.open {
		// The validator stops when a schema is applied inside itself to the same value.
		c.chain = len(all)
	}
	for _, s := range all { // without those that are appended here, which have no children
		for _, child := range append(inside(s), inPlace(s)...) {
			if child.Bool != nil && !known[child] {
				known[child] = true
				all = append(all, child)
			}
		}
	}
	if c.root.Bool != nil { // the whole schema is true or false
		all = append(all, c.root)
	}
	for _, s := range all {
		c.meter.install(s, c.chain, c.evaluates)
	}
}

// chains computes how many schemas can be applied inside one another to the same value.
type chains struct {
	// By schema; 0 while the height is being computed.
	heights map[*jsonschema.Schema]int
	// There is no bound: the schemas refer to one another in a cycle, or a dynamic reference may lead
	// anywhere.
	open bool
}

// height returns the number for one schema, which counts itself. It sets open if it meets a cycle; the
// number is then of no use.
func (c *chains) height(s *jsonschema.Schema) int {
	if height, ok := c.heights[s]; ok {
		c.open = c.open || height == 0
		return height
	}
	c.heights[s] = 0 // a cycle finds this
	c.open = c.open || s.DynamicRef != nil || s.RecursiveRef != nil
	below := 0
	for _, child := range inPlace(s) {
		below = max(below, c.height(child))
	}
	c.heights[s] = below + 1
	return below + 1
}

// inPlace returns the schemas that a schema applies to the same value. Of a dynamic reference it returns
// the target that the validator begins with; the validator may choose another one.
func inPlace(s *jsonschema.Schema) []*jsonschema.Schema {
	all := []*jsonschema.Schema{s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else}
	if s.DynamicRef != nil {
		all = append(all, s.DynamicRef.Ref)
	}
	all = append(append(append(all, s.AllOf...), s.AnyOf...), s.OneOf...)
	for _, each := range s.DependentSchemas {
		all = append(all, each)
	}
	for _, each := range s.Dependencies {
		if sub, ok := each.(*jsonschema.Schema); ok {
			all = append(all, sub)
		}
	}
	return slices.DeleteFunc(all, isNil)
}

// inside returns the schemas that a schema applies to the inside of a value: to members and their names, to
// items, and to the content of strings.
func inside(s *jsonschema.Schema) []*jsonschema.Schema {
	all := append([]*jsonschema.Schema{s.PropertyNames, s.UnevaluatedProperties, s.UnevaluatedItems, s.Contains, s.Items2020, s.ContentSchema}, s.PrefixItems...)
	for _, each := range s.Properties {
		all = append(all, each)
	}
	for _, each := range s.PatternProperties {
		all = append(all, each)
	}
	for _, each := range []any{s.AdditionalProperties, s.Items, s.AdditionalItems} {
		switch each := each.(type) {
		case *jsonschema.Schema:
			all = append(all, each)
		case []*jsonschema.Schema:
			all = append(all, each...)
		}
	}
	return slices.DeleteFunc(all, isNil)
}

// isNil reports whether a keyword is not set.
func isNil(s *jsonschema.Schema) bool { return s == nil }

// check returns nil if a JSON value, which was measured, fits the schema. The error says why it does not
// fit: places are JSON pointers (RFC 6901), and no part of the value is quoted except the names in them.
// errCostly and errLong are returned as they are.
func (c *compiled) check(raw []byte, in measure) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = asError(broken)
		}
	}()
	c.meter.start(in)
	// For unevaluatedItems and -Properties the validator itself looks inside, so everything must be decoded.
	c.meter.instance = newInstance(raw, c.meter, !c.evaluates)
	value, err := c.meter.instance.decode(undecoded{0, len(raw)})
	if err != nil {
		return err
	}
	err = c.root.Validate(value)
	if broken, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return violations(broken)
	}
	return err
}

// asError turns a recovered panic into an error. It hides the text of any panic but the meter's: that text
// means nothing to a user, and may quote the value.
func asError(panicked any) error {
	if err, ok := panicked.(error); ok && (errors.Is(err, errCostly) || errors.Is(err, errLong)) {
		return err
	}
	return errors.New("the validator failed on it")
}
