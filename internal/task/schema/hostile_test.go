package schema_test

import (
	"runtime/debug"
	"strings"
	"testing"
)

var hostile = map[string]struct{ schema, value, want string }{
	"allOf doubles":            {doubling(`"allOf":[NEXT,NEXT]`, `{}`), `{"a":1}`, "takes too long"},
	"anyOf doubles":            {doubling(`"anyOf":[NEXT,NEXT]`, `{"type":"null"}`), `{"a":1}`, "takes too long"},
	"anyOf doubles under not":  {negated(doubling(`"anyOf":[NEXT,NEXT]`, `{"type":"null"}`)), `{"a":1}`, "takes too long"},
	"dependentSchemas":         {negated(doubling(`"dependentSchemas":{"a":NEXT,"b":NEXT}`, `{"type":"null"}`)), `{"a":1,"b":1}`, "takes too long"},
	"doubling beside padding":  {`{"prefixItems":[{"$ref":"#/$defs/d0"}],` + doubling(`"allOf":[NEXT,NEXT]`, `{"type":"null"}`)[len(`{"$ref":"#/$defs/d0",`):], list("1", 30_000), "takes too long"},
	"items twice":              {`{"items":{"$ref":"#"},"contains":{"$ref":"#"}}`, strings.Repeat("[", 60) + strings.Repeat("]", 60), "takes too long"},
	"draft 4":                  {`{"$schema":"http://json-schema.org/draft-04/schema#","allOf":[{"$ref":"#/definitions/a"}],"definitions":{"a":{"items":{"$ref":"#"},"additionalItems":{"$ref":"#"},"anyOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"#"}}]}}}`, strings.Repeat("[", 60) + strings.Repeat("]", 60), "takes too long"},
	"types":                    {`{"items":{"anyOf":` + list(`{"type":"string"}`, 20) + `}}`, list("1", 30_000), "and more"},
	"false":                    {`{"items":{"anyOf":` + list(`false`, 20) + `}}`, list("1", 30_000), "and more"},
	"minimum":                  {`{"items":{"anyOf":` + list(`{"minimum":2}`, 20) + `}}`, list("1", 30_000), "and more"},
	"enum":                     {`{"items":{"anyOf":` + list(`{"enum":[2]}`, 20) + `}}`, list("1", 30_000), "and more"},
	"types in members":         {`{"additionalProperties":{"anyOf":` + list(`{"type":"string"}`, 20) + `}}`, `{` + numbered(`"n#":1`, 60_000) + `}`, "and more"},
	"types in a tree":          {`{"items":{"$ref":"#"},"anyOf":` + list(`{"type":"null"}`, 20) + `}`, list(list(list("1", 5), 5), 5_000), "matches none of anyOf"},
	"types that are passed":    {`{"items":{"anyOf":[` + numbered(`{"type":"string","title":"#"}`, 200) + `,{"type":"number"}]}}`, list("1", 10_000), "takes too long"},
	"required":                 {`{"items":{"anyOf":[{"required":[` + numbered(`"n#"`, 5000) + `]},{}]}}`, list("{}", 10_000), "takes too long"},
	"names":                    {`{"propertyNames":{"maxLength":1}}`, `{` + numbered(`"n#":1`, 60_000) + `}`, "and more"},
	"additional names":         {`{"additionalProperties":false}`, `{` + numbered(`"n#":1`, 60_000) + `}`, "and more"},
	"pattern names":            {`{"patternProperties":{` + numbered(`"^a*#":{}`, 1000) + `}}`, `{` + numbered(`"n#":1`, 60_000) + `}`, "takes too long"},
	"unevaluated":              {`{"unevaluatedItems":false,"allOf":` + list(`{"allOf":[{"allOf":[{"allOf":[{}]}]}]}`, 10) + `}`, list("1", 30_000), "takes too long"},
	"unevaluated members":      {`{"unevaluatedProperties":{"type":"string"}}`, `{` + numbered(`"n#":1`, 60_000) + `}`, "takes too long"},
	"stack":                    {chain(2400, `{"items":{"$ref":"#"}}`), strings.Repeat("[", 90) + strings.Repeat("]", 90), "nested too deep"},
	"a chain for each":         {`{"items":{"$ref":"#/$defs/d0"},` + chain(2400, `{}`)[len(`{"$ref":"#/$defs/d0",`):], list("1", 10_000), "takes too long"},
	"values":                   {`{"items":{"type":"number"}}`, list("1", 3<<20), "too many values"},
	"objects":                  {`{"items":{"type":"object"}}`, list("{}", 3<<20), "too many values"},
	"a long string, often":     {`{"allOf":` + list(`{"minLength":1}`, 3000) + `}`, `"` + strings.Repeat("a", 1<<20) + `"`, "takes too long"},
	"enum of numbers":          {`{"items":{"not":{"enum":` + list("2.50", 9000) + `}}}`, list("1.5", 200), "takes too long"},
	"enum of lists":            {`{"items":{"not":{"enum":[` + list("2.50", 9000) + `]}}}`, "[" + strings.TrimSuffix(strings.Repeat(list("2.5", 9000)+",", 20), ",") + "]", "/0: 'not' failed"},
	"uniqueItems that collide": {`{"uniqueItems":true}`, collisions(), ""},
	"formats":                  {`{"$schema":"http://json-schema.org/draft-07/schema#","items":{"format":"regex"}}`, "[" + numbered(`"(a{1,9}){1,9}#"`, 3000) + "]", ""},
	"programs":                 {`{"$schema":"http://json-schema.org/draft-07/schema#","items":{"format":"regex"}}`, "[" + numbered(`"a{1,50000}#"`, 100) + "]", ""},
	"contains":                 {`{"contains":{"type":"string"},"minContains":3}`, list("1", 30_000), "at least 3"},
	"multipleOf":               {`{"items":{"multipleOf":1e-300}}`, list("1e300", 5_000), ""},
}

// mostMemory bounds the memory of any check, in bytes. The share of a small pod is 45 MiB; a check that needs more runs alone.
const mostMemory = 200 << 20

func TestNoSchemaTakesForeverOrAllMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	for name, tc := range hostile {
		t.Run(name, func(t *testing.T) {
			var got string
			peak := peakOf(func() { got = check(t, nil, tc.schema, tc.value) })
			if !strings.Contains(got, tc.want) || tc.want == "" && got != "" {
				t.Errorf("got %.200s, want %s", got, tc.want)
			}
			if peak > mostMemory {
				t.Errorf("it took %d MiB, want at most %d", peak>>20, mostMemory>>20)
			}
		})
	}
}

func TestALargeSchemaIsCompiled(t *testing.T) {
	t.Parallel()
	refs := numbered(`"p#":{"$ref":"@/x/p#"}`, 1200)
	for name, text := range map[string]string{
		"flat":     `{"allOf":` + list(`{"type":"object"}`, 3300) + `}`,
		"empty":    `{"allOf":` + list(`{}`, 9900) + `}`,
		"ids":      `{"allOf":[` + numbered(`{"$id":"http://h/#"}`, 3000) + `]}`,
		"chain":    chain(2400, `{}`),
		"unknown":  `{"properties":{` + strings.ReplaceAll(refs, "@", "#") + `},"x":{` + numbered(`"p#":{"title":"t"}`, 1200) + `}}`,
		"patterns": `{"allOf":[` + numbered(`{"pattern":"^(a{1,5}b?c|d#){1,5}$"}`, 2000) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := validate(text); err != nil {
				t.Errorf("got %v, want it accepted", err)
			}
		})
	}
}

func TestOrdinaryLargeValuesFitTheBudget(t *testing.T) {
	t.Parallel()
	const row = `{"id":12,"tags":["a","b"],"url":"https://shop.example/","d":{"x":1}}`
	const rows = `{"items":{"type":"object","required":["id"],"properties":{"id":{"type":"integer","minimum":0},
		"tags":{"uniqueItems":true,"items":{"enum":["a","b"]}},"url":{"type":"string","pattern":"^https?://[^/]+/"},
		"d":{"$ref":"#/$defs/d"}},"additionalProperties":false},"$defs":{"d":{"properties":{"x":{"type":"number"}}}}}`
	large := list(row, 100_000)
	for name, tc := range map[string]struct{ schema, value string }{
		"100,000 rows":         {rows, large},
		"deep references":      {chain(1000, `{"properties":{"a":{"$ref":"#/$defs/d900"}}}`), `{"a":{"a":{"a":1}}}`},
		"a deep value":         {`{"$dynamicAnchor":"a","items":{"$dynamicRef":"#a"}}`, strings.Repeat("[", 100) + strings.Repeat("]", 100)},
		"a string of 4 MiB":    {`{"type":"string","minLength":3,"maxLength":50000000}`, `"` + strings.Repeat("a", 4<<20) + `"`},
		"100,000 numbers":      {`{"uniqueItems":true,"items":{"type":"integer"}}`, "[" + numbered("#", 100_000) + "]"},
		"a wide object":        {`{"additionalProperties":{"type":["integer","null"]}}`, `{` + numbered(`"n#":#`, 10_000) + `}`},
		"rows of alternatives": {`{"items":{"oneOf":[{"required":["a"]},{"required":["id"]}]}}`, list(row, 5_000)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := check(t, nil, tc.schema, tc.value); got != "" {
				t.Errorf("got %s, want it to fit", got)
			}
		})
	}
}
