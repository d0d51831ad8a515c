package task_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

// deep is nested so that it breaks the bound as a member of a member.
var deep = strings.Repeat("[", 99) + strings.Repeat("]", 99)

// manySecrets returns one secret more than a request may have.
func manySecrets() string {
	var all []string
	for i := range 101 {
		all = append(all, fmt.Sprintf(`"N%d":"v"`, i))
	}
	return strings.Join(all, ",")
}

// breaches are requests that break one rule each, and how their refusal begins.
var breaches = []struct{ data, want string }{
	{``, `request: is empty; give a JSON object`},
	{`{"prompt":`, `request: is not JSON: unexpected end of JSON input, at byte 10`},
	{with(`"model":"m"`) + `x`, `request: is not JSON: invalid character 'x' after top-level value`},
	{`[]`, `request: is an array; give a JSON object`},
	{`null`, `request: is null; give a JSON object`},
	{`{"prompt":"` + "\xff" + `"}`, `request: is not valid UTF-8`},
	{strings.Repeat(" ", 4<<20) + `{}`, `request: is 4194306 bytes long; at most 4194304 are read`},
	{`{"prompt":"a","prompt":"b"}`, `prompt: is given twice; give it once`},
	{with(`"metadata":{"a":[{"b":1,"\u0062":2}]}`), `metadata: has a name twice; give each once: b`},
	{with(`"secret_values":{"PIN":"1","PIN":"2"}`), `secret_values: has a name twice; give each once`},
	{with(`"metadata":{"a":` + deep + `}`), `metadata: is nested more than 100 levels deep`},
	{with(`"metadata":{"a":1e400}`), `metadata: is "1e400"; give a number that fits a float64`},
	{with(`"metadata":{"a":1e-99999999}`), `metadata: is "1e-99999999"; give a number`},
	{with(`"metadata":{"a":1e99999999999999999999}`), `metadata: is "1e99999999999999999999"; give a number`},
	{with(`"metadata":{"a":0.` + strings.Repeat("1", 500) + `}`), `metadata: is "0.111`},

	{with(`"prmpt":"p"`), `prmpt: is not a known field; the nearest is prompt`},
	{with(`"URL":"https://a.example"`), `URL: is not a known field; the nearest is url`},
	{with(`"session_id":"s"`), `session_id: is not a known field; the nearest is sessionId`},
	{with(`"use_visions":true`), `use_visions: is not a known field; the nearest is use_vision`},
	{with(`"use_vision":"yes"`), `use_vision: is a string; give a boolean`},
	{with(`"extended_system_message":true`), `extended_system_message: is a boolean; give a string`},
	{with(`"use_vision":true,"extra":{"use_vision":true}`), `extra.use_vision: may not repeat a known field; give use_vision beside extra`},
	{with(`"extra":{"Use_Vision":true}`), `extra.Use_Vision: may not repeat a known field`},
	{with(`"\ud83d":1`), `�: is not a known field`},
	{with(`"metadata":{"\ud83d":1,"\uD83D":2}`), `metadata: has a name twice; give each once: \ud83d`},
	{`{"url":"https://a.example"}`, `prompt: is missing; say what the agent shall do`},
	{`{"prompt":"p"}`, `request: has neither url nor sessionId`},
	{`{"prompt":" \n","url":"https://a.example"}`, `prompt: is blank`},
	{`{"prompt":7,"url":"https://a.example"}`, `prompt: is a number; give a string`},
	{`{"prompt":null,"url":"https://a.example"}`, `prompt: is null; give a string, or leave the field out`},
	{`{"prompt":"p","url":"a.example"}`, `url: is "a.example"; give an absolute URL that begins with http:// or https://`},
	{`{"prompt":"p","url":"/path"}`, `url: is "/path"; give an absolute URL`},
	{`{"prompt":"p","url":"ftp://a.example"}`, `url: is "ftp://a.example"; give an absolute URL`},
	{`{"prompt":"p","url":"https:///path"}`, `url: is "https:///path"; give an absolute URL`},
	{`{"prompt":"p","url":"http://[::1"}`, `url: cannot be read as a URL`},
	{`{"prompt":"p","sessionId":" "}`, `sessionId: is blank`},
	{`{"prompt":"p","sessionId":"` + strings.Repeat("s", 257) + `"}`, `sessionId: is "sss`},
	{with(`"agent":1`), `agent: is a number; give a string`},
	{with(`"model":null`), `model: is null; give a string, or leave the field out`},
	{with(`"detect_elements":"true"`), `detect_elements: is a string; give a boolean`},
	{with(`"async":1`), `async: is a number; give a boolean`},
	{with(`"max_steps":0`), `max_steps: is "0"; give an integer from 1 to 2147483647`},
	{with(`"max_steps":1.0`), `max_steps: is "1.0"; give an integer`},
	{with(`"max_steps":1e2`), `max_steps: is "1e2"; give an integer`},
	{with(`"max_steps":2147483648`), `max_steps: is "2147483648"; give an integer`},
	{with(`"max_steps":"40"`), `max_steps: is a string; give a number`},
	{with(`"secret_values":[]`), `secret_values: is an array; give an object`},
	{with(`"secret_values":{"PIN":1234}`), `secret_values.PIN: is a number; give a string`},
	{with(`"secret_values":{"PIN":null}`), `secret_values.PIN: is null; give a string`},
	{with(`"secret_values":{"` + strings.Repeat("N", 65) + `":"v"}`), `secret_values.NNN`},
	{with(`"secret_values":{` + manySecrets() + `}`), `secret_values: has 101 values; give at most 100`},
	{with(`"extra":[]`), `extra: is an array; give an object`},
	{with(`"extra":{"Max_Steps":1}`), `extra.Max_Steps: may not repeat a known field; give max_steps beside extra`},
	{with(`"extra":{"async":false}`), `extra.async: may not repeat a known field`},
	{with(`"extra":{"sessionid":"s"}`), `extra.sessionid: may not repeat a known field`},
	{with(`"task_id":""`), `task_id: give 1 to 128 of letters`},
	{with(`"task_id":"a..b"`), `task_id: is "a..b"; give 1 to 128`},
	{with(`"task_id":"a b"`), `task_id: is "a b"; give 1 to 128`},
	{with(`"task_id":"a\n"`), `task_id: is "a\n"; give 1 to 128`},
	{with(`"task_id":"-a"`), `task_id: is "-a"; give 1 to 128`},
	{with(`"task_id":"é"`), `task_id: is "é"; give 1 to 128`},
	{with(`"task_id":"` + strings.Repeat("x", 129) + `"`), `task_id: is "xxx`},
	{with(`"task_id":"TASKS-3"`), `task_id: is "TASKS-3"; ids of the form TASKS-<number> are for requests that name none; give another`},
	{with(`"task_id":"TASKS-07"`), `task_id: is "TASKS-07"; ids of the form`},
	{with(`"timeout":"1"`), `timeout: is "1"; give a duration such as "90s" or "1h30m", at most 720h0m0s`},
	{with(`"timeout":"-1s"`), `timeout: is "-1s"; give a duration`},
	{with(`"timeout":"0s"`), `timeout: is "0s"; give a duration`},
	{with(`"timeout":"721h"`), `timeout: is "721h"; give a duration`},
	{with(`"expires_at":"tomorrow"`), `expires_at: is "tomorrow"; give a time as in RFC 3339`},
	{with(`"expires_at":"2026-11-27T10:00:00,5Z"`), `expires_at: is "2026-11-27T10:00:00,5Z"; give a time as in RFC 3339`},
	{with(`"expires_at":"2026-11-27T1:00:00Z"`), `expires_at: is "2026-11-27T1:00:00Z"; give a time`},
	{with(`"expires_at":"2026-11-27 10:00:00Z"`), `expires_at: is "2026-11-27 10:00:00Z"; give a time`},
	{with(`"expires_at":"0001-01-01T00:00:00Z"`), `expires_at: is "0001-01-01T00:00:00Z"; give a time`},
	{with(`"on_unknown_submission":"retry"`), `on_unknown_submission: is "retry"; give "fail" or "resubmit"`},
	{with(`"metadata":"x"`), `metadata: is a string; give an object`},
	{with(`"metadata":{"a":"` + strings.Repeat("x", 64<<10) + `"}`), `metadata: is 65544 bytes long; give at most 65536`},
	{with(`"output_schema":true`), `output_schema: is a boolean; give an object`},
}

func TestEveryRuleIsKept(t *testing.T) {
	for _, tc := range breaches {
		if got := refuse(t, message(tc.data)).Error(); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%.100s:\ngot  %.200s\nwant %s", tc.data, got, tc.want)
		}
	}
}

func TestRefusalsAreShort(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, data := range []string{
		with(`"timeout":"` + long + `"`),
		with(`"` + long + `":1`),
		with(`"metadata":{"` + long + `":1,"` + long + `":1}`),
		with(`"output_schema":{"pattern":"` + long[:200_000] + `"}`),
	} {
		e := refuse(t, message(data))
		if len(e.Field) > 100 || len(e.Rule) > 3000 {
			t.Errorf("got %d bytes of field and %d of rule, want few", len(e.Field), len(e.Rule))
		}
	}
}

func TestEveryFieldIsAccepted(t *testing.T) {
	for _, members := range []string{
		`"agent":"brand-new"`, `"provider":""`, `"human_intervention":false`, `"highlight_elements":true`,
		`"max_steps":2147483647`, `"secret_values":{}`, `"extra":{}`, `"metadata":{"deep":{"n":1e308}}`,
		`"metadata":{"a":` + strings.Repeat("[", 98) + strings.Repeat("]", 98) + `}`, // 100 levels
		`"use_vision":false,"directly_open_url":true,"directlyOpenUrl":true,"extended_system_message":"be brief"`,
		`"extra":{"use_vision":true,"directlyOpenUrl":"yes"}`, `"metadata":{"\ud83d":1,"\ud83e":2}`,
		`"task_id":"TASKS-7"`, `"task_id":"TASKS-7.r1"`, `"task_id":"tasks-3"`, `"task_id":"TASKS-3a"`, `"task_id":"TASKS-x"`,
		`"expires_at":"2026-11-27T10:00:00z"`, `"expires_at":"2026-11-27t10:00:00Z"`, `"expires_at":"2026-11-27t10:00:00.5z"`,
		`"timeout":"720h"`, `"expires_at":"2030-01-02T03:04:05.5+02:00"`, `"task_id":"a"`,
	} {
		parse(t, with(members))
	}
	if r := parse(t, `{"prompt":"p","sessionId":"s"}`); r.SessionID != "s" {
		t.Errorf("got session %q, want s without a url", r.SessionID)
	}
	if r := parse(t, `{"prompt":"p","url":"HTTPS://a.example:8443/x?y#z"}`); r.Secrets.String() != (task.Secrets{}).String() {
		t.Errorf("got %v", r.Secrets)
	}
}
