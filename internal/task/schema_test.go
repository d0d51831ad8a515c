package task_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func schemaRequest(schema string) string { return with(`"output_schema":` + schema) }

func TestSchemasAreCompiledWithTheRequest(t *testing.T) {
	for _, tc := range []struct{ schema, want string }{
		{`{"type":"strin"}`, `/type: `},
		{`{"properties":{"a":{"minimum":"1"}}}`, `/properties/a/minimum: got string, want number`},
		{`{"pattern":"("}`, `/pattern: is no regex: error parsing regexp`},
		{`{"$ref":"#/$defs/none"}`, `not found`},
		{`{"$ref":"other.json"}`, `no other document is loaded`},
		{`{"$ref":"file:///etc/passwd"}`, `no other document is loaded`},
		{`{"$ref":"http://127.0.0.1/x"}`, `no other document is loaded`},
		{`{"$schema":"https://example.com/meta"}`, `no other document is loaded`},
		{`{"pattern":"` + strings.Repeat("(", 101) + strings.Repeat(")", 101) + `"}`, `more than 100 groups`},
		{`{"pattern":"` + strings.Repeat("a", 4097) + `"}`, `longer than 4096 bytes`},
		{`{"description":"` + strings.Repeat("a", 256<<10) + `"}`, `at most 262144 are read`},
		{`{"enum":[` + strings.Repeat("1,", 10_000) + `1]}`, `more than 10000 values`},
	} {
		e := refuse(t, message(schemaRequest(tc.schema)))
		if e.Field != "output_schema" || !strings.Contains(e.Rule, tc.want) || strings.Contains(e.Rule, "capstan:") {
			t.Errorf("%.100s: got %q %q, want %q", tc.schema, e.Field, e.Rule, tc.want)
		}
	}
}

func TestSchemasOfEveryDraftAreTaken(t *testing.T) {
	for _, schema := range []string{
		`{}`,
		`{"pattern":"^(?=.*\\d)(?!x)[\\w-]+$"}`, // look-around is ECMA-262, and not Go
		`{"$schema":"http://json-schema.org/draft-04/schema#","id":"http://a/b","type":"object"}`,
		`{"$schema":"http://json-schema.org/draft-06/schema#"}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","if":{},"then":{}}`,
		`{"$schema":"https://json-schema.org/draft/2019-09/schema","$recursiveRef":"#"}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","$dynamicRef":"#a","$dynamicAnchor":"a"}`,
		`{"$id":"https://example.com/a","$ref":"#/$defs/b","$defs":{"b":{"$id":"b"}}}`,
		`{"$ref":"https://json-schema.org/draft/2020-12/schema"}`,
	} {
		parse(t, schemaRequest(schema))
	}
}

func TestSchemaViolationsNameTheirPlaces(t *testing.T) {
	for _, tc := range []struct{ schema, result, want string }{
		{`{"required":["heading"]}`, `{}`, `result: /heading: is required`},
		{`{"required":["a/b"]}`, `{}`, `result: /a~1b: is required`},
		{`{"type":"object"}`, `[1]`, `result: got array, want object`},
		{`{"properties":{"a":{"items":{"type":"integer"}}}}`, `{"a":[1,"x"]}`, `result: /a/1: got string, want integer`},
		{`{"properties":{"a":{}},"additionalProperties":false}`, `{"a":1,"c":1,"b":1}`, `result: /b: is not allowed; /c: is not allowed`},
		{`{"enum":["a","b"]}`, `"c"`, `result: value must be one of 'a', 'b'`},
		{`{"enum":[1,2,3,4,5,6,7,8,9,10,11]}`, `12`, `result: is none of the 11 values in enum`},
		{`{"const":{"a":1}}`, `{"a":2}`, `result: 'const' failed`},
		{`{"pattern":"^(?=a)"}`, `"secret text"`, `result: does not match the pattern "^(?=a)"`},
		{`{"minimum":1000.5}`, `7`, `result: is below the minimum of 1000.5`},
		{`{"maximum":5}`, `7`, `result: is above the maximum of 5`},
		{`{"exclusiveMinimum":7}`, `7`, `result: is not above 7`},
		{`{"exclusiveMaximum":7}`, `7`, `result: is not below 7`},
		{`{"multipleOf":2}`, `7`, `result: is no multiple of 2`},
		{`{"anyOf":[{"type":"string"},{"type":"null"}]}`, `7`, `result: fits none of anyOf`},
		{`{"propertyNames":{"maxLength":1}}`, `{"ab":1}`, `result: /ab: is not allowed as a name`},
		{`{"properties":{"a":false}}`, `{"a":1}`, `result: /a: is not allowed`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","format":"date"}`, `"x"`, `result: is no date`},
		{
			`{"required":["a","b","c","d","e","f","g"]}`, `{}`,
			`result: /a: is required; /b: is required; /c: is required; /d: is required; /e: is required; and 2 more`,
		},
		{`{"type":"number"}`, `1e99999999`, `result: the number 1e99999999 does not fit a float64`},
	} {
		v := judge(t, parse(t, schemaRequest(tc.schema)), completed(tc.result))
		if v.Error == nil || v.Error.Code != task.InvalidResult || v.Error.Message != tc.want {
			t.Errorf("%s with %s:\ngot  %+v\nwant %s", tc.schema, tc.result, v.Error, tc.want)
		}
	}
}

func TestEnumAndConstAreStillChecked(t *testing.T) {
	for _, tc := range []struct{ schema, result string }{
		{`{"enum":[1.0,"a",null,{"b":[1]}],"const":{"b":[1]}}`, `{"b":[1]}`},
		{`{"enum":[1.0]}`, `1`},
		{`{"not":{"const":1}}`, `2`},
	} {
		if v := judge(t, parse(t, schemaRequest(tc.schema)), completed(tc.result)); v.Error != nil {
			t.Errorf("%s with %s: got %v, want success", tc.schema, tc.result, v.Error)
		}
	}
	if v := judge(t, parse(t, schemaRequest(`{"not":{"const":1}}`)), completed(`1`)); v.Error == nil {
		t.Error("got success, want a violation")
	}
}

// doubling returns a schema in which every definition applies the next one twice by way of a keyword.
func doubling(keyword, leaf string) string {
	var defs []string
	for i := range 40 {
		defs = append(defs, fmt.Sprintf(`"d%d":{%s}`, i, strings.ReplaceAll(keyword, "NEXT", fmt.Sprintf(`{"$ref":"#/$defs/d%d"}`, i+1))))
	}
	return fmt.Sprintf(`{"$ref":"#/$defs/d0","$defs":{%s,"d40":%s}}`, strings.Join(defs, ","), leaf)
}

// negated puts a schema under not, where the validator gathers no findings.
func negated(schema string) string {
	return `{"not":` + strings.ReplaceAll(schema, "#/", "#/not/") + `}`
}

func TestNoSchemaTakesForever(t *testing.T) {
	nested := strings.Repeat("[", 60) + strings.Repeat("]", 60)
	numbers := `[` + strings.Repeat("1,", 1_000) + `1]`
	manyNumbers := `{"items":{"enum":[` + strings.TrimSuffix(strings.Repeat("2,", 9_000), ",") + `]}}`
	for name, tc := range map[string]struct{ schema, result string }{
		"allOf":            {doubling(`"allOf":[NEXT,NEXT]`, `{}`), `{"a":1}`},
		"anyOf fails":      {doubling(`"anyOf":[NEXT,NEXT]`, `{"type":"null"}`), `{"a":1}`},
		"not":              {negated(doubling(`"anyOf":[NEXT,NEXT]`, `{"type":"null"}`)), `{"a":1}`},
		"dependentSchemas": {negated(doubling(`"dependentSchemas":{"a":NEXT,"b":NEXT}`, `{"type":"null"}`)), `{"a":1,"b":1}`},
		"items":            {`{"items":{"$ref":"#"},"contains":{"$ref":"#"}}`, nested},
		"enum":             {manyNumbers, numbers},
		"pattern":          {`{"items":{"pattern":"^(a+)+$"}}`, `[` + strings.Repeat(`"`+strings.Repeat("a", 40)+`!",`, 50) + `1]`},
		"draft 4":          {`{"$schema":"http://json-schema.org/draft-04/schema#","allOf":[{"$ref":"#/definitions/a"}],"definitions":{"a":{"items":{"$ref":"#"},"additionalItems":{"$ref":"#"},"anyOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"#"}}]}}}`, nested},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			v := judge(t, parse(t, schemaRequest(tc.schema)), completed(tc.result))
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %v, want it broken off", took)
			}
			if v.Error == nil || v.Error.Code != task.InvalidResult || !strings.Contains(v.Error.Message, "takes too long") {
				t.Errorf("got %+v, want invalid_result that says it takes too long", v.Error)
			}
		})
	}
}

func TestALargeSchemaIsCompiledInTime(t *testing.T) {
	var refs []string
	for i := range 1_200 {
		refs = append(refs, fmt.Sprintf(`"p%d":{"$ref":"#/x/p%d"}`, i, i))
	}
	defs := strings.ReplaceAll(strings.Join(refs, ","), "#/x/", "#/y/")
	for name, schema := range map[string]string{
		"flat":   `{"allOf":[{"type":"object"}` + strings.Repeat(`,{"type":"object"}`, 3_300) + `]}`,
		"chains": `{"properties":{` + strings.Join(refs, ",") + `},"x":{` + strings.ReplaceAll(defs, `{"$ref":"#/y/`, `{"title":"`) + `}}`,
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			parse(t, schemaRequest(schema))
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestALargeResultIsCheckedWhole(t *testing.T) {
	item := `{"name":"n","price":1.5,"tags":["a","b"]},`
	result := `[` + strings.TrimSuffix(strings.Repeat(item, 20_000), ",") + `]`
	schema := `{"items":{"type":"object","required":["name"],"properties":{"name":{"type":"string"},"price":{"type":"number"},
		"tags":{"items":{"enum":["a","b"]}}},"additionalProperties":false}}`
	if v := judge(t, parse(t, schemaRequest(schema)), completed(result)); v.Error != nil {
		t.Errorf("got %v, want success", v.Error)
	}
}
