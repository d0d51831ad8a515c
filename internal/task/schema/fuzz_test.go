package schema_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/capstan-worker/capstan/internal/task/schema"
)

// FuzzPattern compares the two searches. A back-reference to an empty group does not change a pattern, except that the
// backtracking search is used.
func FuzzPattern(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.pattern, v.text)
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if !utf8.ValidString(pattern) || len(pattern) > 200 || len(text) > 200 || strings.ContainsAny(pattern, "\n\r") {
			return
		}
		one, other := `{"pattern":`+quoted(t, pattern)+`}`, `{"pattern":`+quoted(t, `()\1(?:`+pattern+`)`)+`}`
		if strings.Contains(pattern, `\`) && strings.ContainsAny(pattern, "123456789k") || validate(one) != nil || validate(other) != nil {
			return
		}
		got, want := check(t, nil, one, quoted(t, text)), check(t, nil, other, quoted(t, text))
		if strings.Contains(got+want, "takes too long") {
			return
		}
		if (got == "") != (want == "") {
			t.Errorf("%q in %q: got %q by all ways at once, and %q by one after the other", pattern, text, got, want)
		}
	})
}

// alone returns whether the value fits by the validator itself, without a meter. known is false if it has no verdict.
func alone(text, value string) (fits, known bool) {
	if !json.Valid([]byte(text)) || !json.Valid([]byte(value)) {
		return false, false
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil || compiler.AddResource("test:///schema", doc) != nil {
		return false, false
	}
	s, err := compiler.Compile("test:///schema")
	if err != nil {
		return false, false
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(value))
	if err != nil {
		return false, false
	}
	return s.Validate(v) == nil, true
}

// FuzzCheck compares verdicts with those of the validator itself.
func FuzzCheck(f *testing.F) {
	values := []string{
		`null`, `true`, `0`, `-0.0`, `1`, `1.5`, `3e0`, `"a"`, `"abc"`, `[]`, `[1,1.0]`, `["a",1,null]`, `[[1],[1,2],[[]]]`, `{}`, `{"a":1}`,
		`{"a":"x","b":[1,{"c":null}]}`, `{"b":2,"c":{"a":1,"b":1}}`, `{"aa":1,"ab":"2","c":[]}`, `[{"a":1},{"a":1},{"b":2}]`,
	}
	for _, text := range []string{
		`true`, `false`, `{}`, `{"type":["integer","null"]}`, `{"enum":[1,"a",null,[1,1]]}`, `{"const":{"a":1.0}}`, `{"minimum":1,"multipleOf":1.5}`,
		`{"minLength":2,"maxLength":2}`, `{"required":["a"],"properties":{"a":{"type":"number"}}}`, `{"additionalProperties":{"type":"number"},"properties":{"aa":{"minimum":1}}}`,
		`{"propertyNames":{"maxLength":1},"minProperties":1}`, `{"items":{"type":"number"},"uniqueItems":true}`, `{"prefixItems":[{"type":"string"},false]}`,
		`{"prefixItems":[{}],"items":false}`, `{"contains":{"type":"number"},"minContains":2,"maxContains":3}`, `{"contains":{"const":1},"minContains":0,"unevaluatedItems":{"type":"string"}}`,
		`{"allOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}],"unevaluatedProperties":false}`, `{"anyOf":[{"items":{"type":"number"}},{"required":["a"]}],"unevaluatedItems":false}`,
		`{"oneOf":[{"type":"number"},{"minimum":1}]}`, `{"not":{"required":["a"]}}`, `{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"maxItems":1}}`,
		`{"dependentRequired":{"a":["b"]},"dependentSchemas":{"b":{"required":["c"]}}}`, `{"$ref":"#/$defs/x","$defs":{"x":{"items":{"$ref":"#"},"additionalProperties":{"$ref":"#/$defs/x"},"type":["array","object","number"]}}}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"array"}],"additionalItems":{"type":"array"},"dependencies":{"a":["b"],"b":{"minProperties":2}}}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{}],"additionalItems":false}`, `{"$schema":"http://json-schema.org/draft-04/schema#","minimum":1,"exclusiveMinimum":true}`,
		`{"$schema":"https://json-schema.org/draft/2019-09/schema","$recursiveAnchor":true,"items":{"$recursiveRef":"#"},"additionalProperties":{"$recursiveRef":"#"},"unevaluatedItems":false}`,
		`{"$dynamicAnchor":"n","type":["array","object","number"],"items":{"$dynamicRef":"#n"},"additionalProperties":{"$dynamicRef":"#n"}}`,
	} {
		for _, value := range values {
			f.Add(text, value)
		}
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if strings.Contains(text, "\\") || strings.Contains(text, "attern") || strings.Contains(text, "format") || len(text)+len(value) > 2000 {
			return // patterns are not Go's here
		}
		want, known := alone(text, value)
		if !known {
			return
		}
		_, err := (*schema.Checker)(nil).FirstFit(context.Background(), json.RawMessage(text), []json.RawMessage{json.RawMessage(value)}, inOrder(1))
		misfit, ok := errors.AsType[*schema.MisfitError](err)
		if err != nil && (!ok || strings.Contains(misfit.Error(), "takes too long") || strings.Contains(misfit.Error(), "float64")) {
			return
		}
		if got := err == nil; got != want {
			t.Errorf("%s with %s: got %v, want that it fits: %v", text, value, err, want)
		}
	})
}
