package anchortest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// sample returns the made-up result for a schema.
func sample(t *testing.T, schema string) string {
	t.Helper()
	made, err := anchortest.Sample(t.Context(), anchortest.Task{OutputSchema: json.RawMessage(schema)})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAMadeUpResultFitsItsSchema(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{
		`{}`, `{"type":"string"}`, `{"type":["null","integer"]}`, `{"type":"boolean"}`, `{"type":"null"}`, `{"const":[1]}`, `{"enum":["b","a"]}`,
		`{"type":"object","properties":{"heading":{"type":"string","minLength":10},"price":{"type":"number","exclusiveMinimum":5},"n":{"type":"integer","maximum":0}},
			"required":["heading","price","n"],"additionalProperties":false}`,
		`{"properties":{"a":{"type":"array","items":{"type":"string","maxLength":3},"minItems":3}},"required":["a"]}`,
		`{"type":"array","maxItems":0,"items":{"type":"string"}}`, `{"type":"number","multipleOf":0.5,"minimum":3.2}`,
		`{"$defs":{"p":{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}},"type":"array","items":{"$ref":"#/$defs/p"}}`,
		`{"anyOf":[{"type":"integer","exclusiveMaximum":0},{"type":"string"}]}`, `{"type":"string","format":"date-time"}`, `{"type":"string","examples":["x"]}`,
		`{"allOf":[{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]},{"properties":{"b":{"default":2}},"required":["b"]}]}`,
	} {
		compiler := jsonschema.NewCompiler()
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("s.json", document); err != nil {
			t.Fatal(err)
		}
		compiled, err := compiler.Compile("s.json")
		if err != nil {
			t.Fatal(err)
		}
		made := sample(t, schema)
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(made))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(value); err != nil {
			t.Errorf("%s: got %s: %v", schema, made, err)
		}
	}
	if made, err := anchortest.Sample(t.Context(), anchortest.Task{}); err != nil || !strings.Contains(fmt.Sprint(made), "made up") {
		t.Errorf("got %v, %v without a schema, want a sentence", made, err)
	}
}

// A schema is the client's, and may refer to itself.
func TestAMadeUpResultIsBounded(t *testing.T) {
	t.Parallel()
	var many []string
	for n := range 40 {
		many = append(many, fmt.Sprintf(`"p%d":{"$ref":"#"}`, n))
	}
	for _, schema := range []string{
		`{"type":"object","properties":{` + strings.Join(many, ",") + `}}`,
		`{"$ref":"#"}`, `{"allOf":[{"$ref":"#"}]}`, `{"anyOf":[{"$ref":"#"}]}`, `{"type":[]}`, `{"type":[1]}`, `{"type":"array","minItems":1e300}`,
		`{"type":"array","maxItems":-5}`, `{"type":"string","minLength":1e300}`, `{"type":"string","maxLength":-1}`, `{"type":"number","multipleOf":1e-320}`,
		`{"type":"integer","minimum":1e308,"multipleOf":1e308}`, `{"$ref":"https://example.com/"}`, `{"$ref":"#/nowhere/at~1all"}`, `{"properties":5}`, `{"allOf":[5]}`,
	} {
		if made := sample(t, schema); len(made) > 1<<20 {
			t.Errorf("%s: got %d bytes, want 1 MiB at most", schema, len(made))
		}
	}
}
