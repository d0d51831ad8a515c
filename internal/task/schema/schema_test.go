package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task/schema"
)

func TestInvalidSchemasAreRefused(t *testing.T) {
	for _, tc := range []struct{ schema, want string }{
		{`{"type":"strin"}`, `/type: `},
		{`{"properties":{"a":{"minimum":"1"}}}`, `/properties/a/minimum: got string, want number`},
		{`{"pattern":"("}`, `/pattern: is not a regular expression: error parsing regexp`},
		{`{"pattern":"(?(1)a|b)"}`, `/pattern: is not a regular expression`},
		{`{"pattern":"((a{1000}){1000})"}`, `it has too many repetitions and alternatives`},
		{`{"$ref":"#/$defs/none"}`, `not found`},
		{`{"$ref":"other.json"}`, `no other document is loaded`},
		{`{"$ref":"file:///etc/passwd"}`, `no other document is loaded`},
		{`{"$ref":"http://127.0.0.1/x"}`, `no other document is loaded`},
		{`{"$schema":"https://example.com/meta"}`, `no other document is loaded`},
		{`{"$schema":"https://spec.openapis.org/oas/3.1/dialect/base"}`, `no other document is loaded`},
		{`{"$schema":"http://json-schema.org/draft-03/schema#"}`, `no other document is loaded`},
		{`{"exclusiveMinimum":true}`, `/exclusiveMinimum: got boolean, want number`},
		{`{"items":[{}]}`, `/items: got array, want boolean or object`},
		{`{"pattern":"` + strings.Repeat("(", 101) + strings.Repeat(")", 101) + `"}`, `more than 100 groups`},
		{`{"pattern":"` + strings.Repeat("a", 4097) + `"}`, `longer than 4096 bytes`},
		{`{"description":"` + strings.Repeat("a", 256<<10) + `"}`, `at most 262144 are allowed`},
		{`{"enum":[` + strings.Repeat("1,", 10_000) + `1]}`, `more than 10000 values`},
		{`{"minimum":1e999}`, `the number 1e999 does not fit a float64`},
	} {
		if err := validate(tc.schema); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "capstan:") {
			t.Errorf("%.100s: got %v, want %q", tc.schema, err, tc.want)
		}
	}
}

func TestSchemasOfEveryDraftAreAccepted(t *testing.T) {
	for _, text := range []string{
		`{}`,
		`true`,
		`{"pattern":"^(?=.*\\d)(?!x)[\\w-]+$"}`, // look-around is ECMA-262, and not Go
		`{"pattern":"^[\\w-.]+@"}`,              // not valid with the flag u, but in wide use
		`{"$schema":"http://json-schema.org/draft-04/schema#","id":"http://a/b","type":"object"}`,
		`{"$schema":"http://json-schema.org/draft-06/schema#"}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","if":{},"then":{}}`,
		`{"$schema":"https://json-schema.org/draft/2019-09/schema","$recursiveRef":"#"}`,
		`{"$schema":"https://json-schema.org/draft/2020-12/schema","$dynamicRef":"#a","$dynamicAnchor":"a"}`,
		`{"$id":"https://example.com/a","$ref":"#/$defs/b","$defs":{"b":{"$id":"b"}}}`,
		`{"$ref":"https://json-schema.org/draft/2020-12/schema"}`,
	} {
		if err := validate(text); err != nil {
			t.Errorf("%s: got %v, want it accepted", text, err)
		}
	}
}

func TestViolationsNameTheirPlaces(t *testing.T) {
	for _, tc := range []struct{ schema, value, want string }{
		{`{"required":["heading"]}`, `{}`, `/heading: is required`},
		{`{"required":["a/b"]}`, `{}`, `/a~1b: is required`},
		{`{"type":"object"}`, `[1]`, `got array, want object`},
		{`false`, `1`, `is not allowed`},
		{`{"properties":{"a":{"items":{"type":"integer"}}}}`, `{"a":[1,"x"]}`, `/a/1: got string, want integer`},
		{`{"properties":{"a":{}},"additionalProperties":false}`, `{"a":1,"c":1,"b":1}`, `/b: is not allowed; /c: is not allowed`},
		{`{"enum":["a","b"]}`, `"c"`, `value must be one of 'a', 'b'`},
		{`{"enum":[1,2,3,4,5,6,7,8,9,10,11]}`, `12`, `is none of the 11 values in enum`},
		{`{"const":{"a":1}}`, `{"a":2}`, `'const' failed`},
		{`{"pattern":"^(?=a)"}`, `"secret text"`, `does not match the pattern "^(?=a)"`},
		{`{"minimum":1000.5}`, `7`, `is below the minimum of 1000.5`},
		{`{"maximum":5}`, `7`, `is above the maximum of 5`},
		{`{"exclusiveMinimum":7}`, `7`, `is not above 7`},
		{`{"exclusiveMaximum":7}`, `7`, `is not below 7`},
		{`{"multipleOf":2}`, `7`, `is not a multiple of 2`},
		{`{"anyOf":[{"type":"string"},{"type":"null"}]}`, `7`, `matches none of anyOf`},
		{`{"propertyNames":{"maxLength":1}}`, `{"ab":1}`, `/ab: is not allowed as a name`},
		{`{"properties":{"a":false}}`, `{"a":1}`, `/a: is not allowed`},
		{`{"prefixItems":[true],"items":false}`, `[1,2]`, `/1: is not allowed`},
		{`{"uniqueItems":true}`, `[1,2,1.0]`, `items at 0 and 2 are equal`},
		{`{"contains":{"type":"string"},"minContains":2}`, `[1,"a"]`, `has 1 items that match contains, want at least 2`},
		{`{"contains":{"type":"string"},"maxContains":1}`, `["a","b"]`, `has 2 items that match contains, want at most 1`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","format":"date"}`, `"x"`, `is not a valid date`},
		{
			`{"required":["a","b","c","d","e","f","g"]}`, `{}`,
			`/a: is required; /b: is required; /c: is required; /d: is required; /e: is required; and 2 more`,
		},
		{
			`{"items":{"type":"null"}}`, `[1,2,3,4,5,6,7]`,
			`/0: got number, want null; /1: got number, want null; /2: got number, want null; /3: got number, want null; /4: got number, want null; and more`,
		},
		{`{"type":"number"}`, `1e99999999`, `the number 1e99999999 does not fit a float64`},
		{`{}`, strings.Repeat("[", 1001) + strings.Repeat("]", 1001), `it is nested more than 1000 levels deep`},
		{`{}`, `{"a"}`, `it is not JSON: invalid character '}' after object name (expecting ':'), at byte 4`},
	} {
		if got := check(t, nil, tc.schema, tc.value); got != tc.want {
			t.Errorf("%s with %.100s:\ngot  %s\nwant %s", tc.schema, tc.value, got, tc.want)
		}
	}
}

func TestValuesFit(t *testing.T) {
	for _, tc := range []struct{ schema, value string }{
		{`{"enum":[1.0,"a",null,{"b":[1]}],"const":{"b":[1]}}`, `{"b":[1]}`},
		{`{"enum":[1.0]}`, `1`},
		{`{"enum":[0]}`, `-0`},
		{`{"const":1000}`, `1e3`},
		{`{"not":{"const":1}}`, `2`},
		{`{"type":"integer"}`, `1.0`},
		{`{"type":["null","integer"]}`, `1e2`},
		{`{"type":"object","nullable":true}`, `{}`},
		{`{"$ref":"#/definitions/a","definitions":{"a":{"type":"string"}}}`, `"x"`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","allOf":[{"$ref":"#/definitions/a","const":2}],"definitions":{"a":{"type":"number"}}}`, `1`},
		{`{"uniqueItems":true}`, `[["a","b"],["ab"],"a","b",[["a"],"b"],{"a":"b"},true,"true",null,"null",1,"1"]`},
		{`{"properties":{"a":{}},"unevaluatedProperties":false,"allOf":[{"patternProperties":{"^b":{}}}]}`, `{"a":1,"b1":2}`},
		{`{"prefixItems":[{}],"contains":{"type":"string"},"unevaluatedItems":false}`, `[1,"a"]`},
	} {
		if got := check(t, nil, tc.schema, tc.value); got != "" {
			t.Errorf("%s with %s: got %s, want it to fit", tc.schema, tc.value, got)
		}
	}
	for _, tc := range []struct{ schema, value string }{
		{`{"not":{"const":1}}`, `1`},
		{`{"enum":[1,2],"const":3}`, `3`},
		{`{"type":"object","nullable":true}`, `null`},
		{`{"type":"integer"}`, `1.5`},
		{`{"properties":{"a":{}},"unevaluatedProperties":false,"allOf":[{"patternProperties":{"^b":{}}}]}`, `{"a":1,"c":2}`},
	} {
		if got := check(t, nil, tc.schema, tc.value); got == "" {
			t.Errorf("%s with %s: got success, want a violation", tc.schema, tc.value)
		}
	}
}

func TestFirstFitFollowsTheOrder(t *testing.T) {
	values := []json.RawMessage{json.RawMessage(`1`), json.RawMessage(`"a"`), json.RawMessage(`"b"`)}
	backwards := func(func(string) schema.Description) []int { return []int{2, 1, 0} }
	for want, order := range map[int]schema.Order{1: inOrder(3), 2: backwards} {
		if got, err := (*schema.Checker)(nil).FirstFit(t.Context(), json.RawMessage(`{"type":"string"}`), values, order); got != want || err != nil {
			t.Errorf("got %d, %v, want %d", got, err, want)
		}
	}
}

func TestOrderCanAskHowAMemberIsDescribed(t *testing.T) {
	answer := `{"type":"object","properties":{"result":{"type":"string"}}}`
	for text, want := range map[string]schema.Description{
		answer: schema.Outright,
		fmt.Sprintf(`{"$ref":"#/$defs/a","$defs":{"a":%s}}`, answer):  schema.Implied,
		fmt.Sprintf(`{"allOf":[{"anyOf":[{"oneOf":[%s]}]}]}`, answer): schema.Implied,
		fmt.Sprintf(`{"if":{},"then":%s}`, answer):                    schema.Implied,
		`{"additionalProperties":{"type":"string"}}`:                  schema.Implied,
		`{"patternProperties":{"^res":{}}}`:                           schema.Implied,
		`{"required":["result"]}`:                                     schema.Implied,
		`{"patternProperties":{"^x":{}}}`:                             schema.NotDescribed,
		`{"additionalProperties":true}`:                               schema.NotDescribed,
		`{"additionalProperties":{}}`:                                 schema.NotDescribed,
		fmt.Sprintf(`{"properties":{"inner":%s}}`, answer):            schema.NotDescribed,
		`{"type":"object"}`:                                           schema.NotDescribed,
		`{"$ref":"#"}`:                                                schema.NotDescribed,
	} {
		var got schema.Description
		order := func(describes func(string) schema.Description) []int {
			got = describes("result")
			return []int{0}
		}
		_, err := (*schema.Checker)(nil).FirstFit(t.Context(), json.RawMessage(text), []json.RawMessage{json.RawMessage(`{}`)}, order)
		if _, ok := errors.AsType[*schema.MisfitError](err); err != nil && !ok || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, err, want)
		}
	}
}
