package task_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/task"
)

// violations are requests that break one rule each, and how their refusal begins.
var violations = []struct{ data, want string }{
	{``, `request is empty; send a JSON object`},
	{`{"prompt":`, `request is not JSON: unexpected end of JSON input, at byte 10`},
	{with(`"model":"m"`) + `x`, `request is not JSON: invalid character 'x' after top-level value`},
	{`[]`, `request must be a JSON object (got an array)`},
	{`null`, `request must be a JSON object (got null)`},
	{`{"prompt":"` + "\xff" + `"}`, `request is not valid UTF-8`},
	{strings.Repeat(" ", 4<<20) + `{}`, `request must be at most 4194304 bytes (got 4194306)`},
	{`{"prompt":"a","prompt":"b"}`, `prompt is given twice`},
	{with(`"metadata":{"a":[{"b":1,"\u0062":2}]}`), `metadata must not contain the same name twice: b`},
	{with(`"secret_values":{"PIN":"1","PIN":"2"}`), `secret_values must not contain the same name twice`},
	{with(`"metadata":{"a":` + deep + `}`), `metadata must not be nested more than 100 levels deep`},
	{with(`"metadata":{"a":1e400}`), `metadata must have only numbers that fit into a float64, written in at most 400 characters (got "1e400")`},
	{with(`"metadata":{"a":1e-99999999}`), `metadata must have only numbers that fit into a float64, written in at most 400 characters (got "1e-99999999")`},
	{with(`"metadata":{"a":1e99999999999999999999}`), `metadata must have only numbers that fit`},
	{with(`"metadata":{"a":0.` + strings.Repeat("1", 500) + `}`), `metadata must have only numbers that fit into a float64, written in at most 400 characters (got "0.111`},
	{with(`"secret_values":{"PIN":1e400}`), `secret_values must have only numbers that fit into a float64, written in at most 400 characters`},

	{with(`"prmpt":"p"`), `unknown field "prmpt"; did you mean "prompt"? (put new API parameters in "extra")`},
	{with(`"URL":"https://a.example"`), `unknown field "URL"; did you mean "url"?`},
	{with(`"session_id":"s"`), `unknown field "session_id"; did you mean "sessionId"?`},
	{with(`"use_visions":true`), `unknown field "use_visions"; did you mean "use_vision"?`},
	{with(`"\ud83d":1`), `unknown field "�"; did you mean `},
	{with(`"use_vision":"yes"`), `use_vision must be a boolean (got a string)`},
	{with(`"extended_system_message":true`), `extended_system_message must be a string (got a boolean)`},
	{with(`"use_vision":true,"extra":{"use_vision":true}`), `extra.use_vision must not repeat a known field; set use_vision itself`},
	{with(`"extra":{"Use_Vision":true}`), `extra.Use_Vision must not repeat a known field; set use_vision itself`},
	{with(`"metadata":{"\ud83d":1,"\uD83D":2}`), `metadata must not contain the same name twice: \ud83d`},
	{`{"url":"https://a.example"}`, `prompt is required`},
	{`{"prompt":"p"}`, `set url or sessionId`},
	{`{"prompt":" \n","url":"https://a.example"}`, `prompt must not be blank`},
	{`{"prompt":7,"url":"https://a.example"}`, `prompt must be a string (got a number)`},
	{`{"prompt":null,"url":"https://a.example"}`, `prompt must be a string or left out (got null)`},
	{`{"prompt":"p","url":"a.example"}`, `url must be an absolute URL that begins with http:// or https:// (got "a.example")`},
	{`{"prompt":"p","url":"/path"}`, `url must be an absolute URL that begins with http:// or https:// (got "/path")`},
	{`{"prompt":"p","url":"ftp://a.example"}`, `url must be an absolute URL that begins with http:// or https:// (got "ftp://a.example")`},
	{`{"prompt":"p","url":"https:///path"}`, `url must be an absolute URL that begins with http:// or https:// (got "https:///path")`},
	{`{"prompt":"p","url":"http://[::1"}`, `url must be an absolute URL`},
	{`{"prompt":"p","sessionId":" "}`, `sessionId must not be blank; give the id of a session, or leave the field out`},
	{`{"prompt":"p","sessionId":"` + strings.Repeat("s", 257) + `"}`, `sessionId must be at most 256 bytes (got "sss`},
	{with(`"agent":1`), `agent must be a string (got a number)`},
	{with(`"model":null`), `model must be a string or left out (got null)`},
	{with(`"detect_elements":"true"`), `detect_elements must be a boolean (got a string)`},
	{with(`"async":1`), `async must be a boolean (got a number)`},
	{with(`"max_steps":0`), `max_steps must be a plain integer from 1 to 2147483647 (got "0")`},
	{with(`"max_steps":1.0`), `max_steps must be a plain integer from 1 to 2147483647 (got "1.0")`},
	{with(`"max_steps":1e2`), `max_steps must be a plain integer from 1 to 2147483647 (got "1e2")`},
	{with(`"max_steps":2147483648`), `max_steps must be a plain integer from 1 to 2147483647 (got "2147483648")`},
	{with(`"max_steps":"40"`), `max_steps must be a number (got a string)`},
	{with(`"secret_values":[]`), `secret_values must be an object (got an array)`},
	{with(`"secret_values":{"PIN":1234}`), `secret_values.PIN must be a string (got a number)`},
	{with(`"secret_values":{"PIN":null}`), `secret_values.PIN must be a string or left out (got null)`},
	{with(`"secret_values":{"` + strings.Repeat("N", 65) + `":"v"}`), `secret_values.` + strings.Repeat("N", 65) + ` must have a name of at most 64 bytes`},
	{with(`"secret_values":{` + manySecrets() + `}`), `secret_values must have at most 100 values (got 101)`},
	{with(`"extra":[]`), `extra must be an object (got an array)`},
	{with(`"extra":{"Max_Steps":1}`), `extra.Max_Steps must not repeat a known field; set max_steps itself`},
	{with(`"extra":{"async":false}`), `extra.async must not repeat a known field`},
	{with(`"extra":{"sessionid":"s"}`), `extra.sessionid must not repeat a known field`},
	{with(`"task_id":""`), `task_id must be 1 to 128 letters, digits, '.', '_', '-' or '=', begin and end with a letter or digit, and have no '..'`},
	{with(`"task_id":"a..b"`), taskIDRule + ` (got "a..b")`},
	{with(`"task_id":"a b"`), taskIDRule + ` (got "a b")`},
	{with(`"task_id":"a\n"`), taskIDRule + ` (got "a\n")`},
	{with(`"task_id":"-a"`), taskIDRule + ` (got "-a")`},
	{with(`"task_id":"é"`), taskIDRule + ` (got "é")`},
	{with(`"task_id":"` + strings.Repeat("x", 129) + `"`), taskIDRule + ` (got "xxx`},
	{with(`"task_id":"TASKS-3"`), `task_id must not be of the form TASKS-<number>, which is for requests without an id (got "TASKS-3")`},
	{with(`"task_id":"TASKS-07"`), `task_id must not be of the form TASKS-<number>, which is for requests without an id (got "TASKS-07")`},
	{with(`"batch":"a b"`), `batch must be 1 to 64 letters, digits, '.', '_', '-' or '=', begin and end with a letter or digit, and have no '..' (got "a b")`},
	{with(`"batch":"` + strings.Repeat("b", 65) + `"`), `batch must be 1 to 64 letters`},
	{with(`"retries":6`), `retries must be a plain integer from 0 to 5 (got "6")`},
	{with(`"retries":-1`), `retries must be a plain integer from 0 to 5 (got "-1")`},
	{with(`"retries":"2"`), `retries must be a number (got a string)`},
	{with(`"retry_on":"timeout"`), `retry_on must be an array (got a string)`},
	{with(`"retry_on":["timeout","rejected"]`), `retry_on.1 must be one of workflow_failed, agent_failed, invalid_result, step_limit, timeout, workflow_lost (got "rejected")`},
	{with(`"retry_on":[1]`), `retry_on.0 must be a string (got a number)`},
	{with(`"retry_with":{}`), `retry_with must be an array (got an object)`},
	{with(`"retry_with":[1]`), `retry_with.0 must be an object (got a number)`},
	{with(`"retry_with":[{},{"prompt":"p"}]`), `retry_with.1.prompt cannot change in a retry; only agent, provider, model and max_steps can`},
	{with(`"retry_with":[{"max_steps":0}]`), `retry_with.0.max_steps must be a plain integer from 1 to 2147483647 (got "0")`},
	{with(`"retry_with":[{},{},{},{},{},{}]`), `retry_with must have at most 5 elements`},
	{with(`"retry_on":[` + strings.Repeat(`"timeout",`, 16) + `"timeout"]`), `retry_on must have at most 16 elements`},
	{with(`"secret_refs":[]`), `secret_refs must be an object (got an array)`},
	{with(`"secret_refs":{"PIN":"../pin"}`), `secret_refs.PIN must be the relative path of a file, such as "shop/pin", without ".." and of at most 256 bytes (got "../pin")`},
	{with(`"secret_refs":{"PIN":"/etc/passwd"}`), `secret_refs.PIN must be the relative path`},
	{with(`"secret_refs":{"PIN":"."}`), `secret_refs.PIN must be the relative path`},
	{with(`"secret_refs":{"PIN":""}`), `secret_refs.PIN must be the relative path`},
	{with(`"secret_refs":{"PIN":"a\\b"}`), `secret_refs.PIN must be the relative path`},
	{with(`"secret_refs":{"PIN":"pin"},"secret_values":{"PIN":"1"}`), `secret_refs.PIN must not be in secret_values as well`},
	{with(`"timeout":"1"`), `timeout must be a duration above 0, such as "90s" or "1h30m", and at most 720h0m0s (got "1")`},
	{with(`"timeout":"-1s"`), `timeout must be a duration above 0, such as "90s" or "1h30m", and at most 720h0m0s (got "-1s")`},
	{with(`"timeout":"0s"`), `timeout must be a duration above 0, such as "90s" or "1h30m", and at most 720h0m0s (got "0s")`},
	{with(`"timeout":"721h"`), `timeout must be a duration above 0, such as "90s" or "1h30m", and at most 720h0m0s (got "721h")`},
	{with(`"expires_at":"tomorrow"`), `expires_at must be an RFC 3339 time, such as "2026-01-02T15:04:05Z", or left out (got "tomorrow")`},
	{with(`"expires_at":"2026-11-27T10:00:00,5Z"`), timeRule + ` (got "2026-11-27T10:00:00,5Z")`},
	{with(`"expires_at":"2026-11-27T1:00:00Z"`), timeRule + ` (got "2026-11-27T1:00:00Z")`},
	{with(`"expires_at":"2026-11-27 10:00:00Z"`), timeRule + ` (got "2026-11-27 10:00:00Z")`},
	{with(`"expires_at":"2026-11-27T10:00:00+24:00"`), timeRule + ` (got "2026-11-27T10:00:00+24:00")`},
	{with(`"expires_at":"0001-01-01T00:00:00Z"`), timeRule + ` (got "0001-01-01T00:00:00Z")`},
	{with(`"on_unknown_submission":"retry"`), `on_unknown_submission must be "fail", "resubmit" or "fence" (got "retry")`},
	{with(`"session":true`), `session must be an object (got a boolean)`},
	{with(`"session":null`), `session must be an object or left out (got null)`},
	{with(`"session":{"tags":"hunter2"}`), `session.tags must be an array (got a string)`},
	{with(`"session":{"tags":["a",2]}`), `session.tags.1 must be a string (got a number)`},
	{with(`"session":{"tags":[null]}`), `session.tags.0 must be a string or left out (got null)`},
	{with(`"session":{"tags":[` + strings.Repeat(`"a",`, 100) + `"a"]}`), `session.tags must have at most 100 elements`},
	{with(`"session":{"timeout":["hunter2"]}`), `session.timeout must be an object (got an array)`},
	{with(`"session":{"timeout":null}`), `session.timeout must be an object or left out (got null)`},
	{with(`"session":{"live_view":true}`), `session.live_view must be an object (got a boolean)`},
	{with(`"browser":["hunter2"]`), `browser must be an object (got an array)`},
	{with(`"session":{},"sessionId":"s"`), `session must not stand beside sessionId, which names a session that exists`},
	{with(`"browser":{},"sessionId":"s"`), `browser must not stand beside sessionId, which names a session that exists`},
	{with(`"on_unknown_submission":"fence","sessionId":"s"`), `on_unknown_submission must not be "fence" beside sessionId: only a session of the task's own can be ended`},
	{with(`"extra":{"Session":{}}`), `extra.Session must not repeat a known field; set session itself`},
	{with(`"metadata":"x"`), `metadata must be an object (got a string)`},
	{with(`"metadata":{"a":"` + strings.Repeat("x", 64<<10) + `"}`), `metadata must be at most 65536 bytes (got 65544)`},
	{with(`"output_schema":true`), `output_schema must be an object (got a boolean)`},
	{with(`"output_schema":{"type":"objct"}`), `output_schema is not a valid JSON Schema: /type: `},
}

const (
	taskIDRule = `task_id must be 1 to 128 letters, digits, '.', '_', '-' or '=', begin and end with a letter or digit, and have no '..'`
	timeRule   = `expires_at must be an RFC 3339 time, such as "2026-01-02T15:04:05Z", or left out`
)

func TestEveryRuleIsEnforced(t *testing.T) {
	for _, tc := range violations {
		if got := refuse(t, delivery(tc.data)).Error(); !strings.HasPrefix(got, tc.want) {
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
		e := refuse(t, delivery(data))
		if len(e.Field) > 100 || len(e.Message) > 3000 {
			t.Errorf("got %d bytes of field and %d of message, want few", len(e.Field), len(e.Message))
		}
	}
}

// accepted are requests with fields at the edges of what their rules allow.
func accepted() (all []string) {
	for _, members := range []string{
		`"agent":"brand-new"`, `"provider":""`, `"human_intervention":false`, `"highlight_elements":true`,
		`"max_steps":2147483647`, `"secret_values":{}`, `"extra":{}`, `"metadata":{"deep":{"n":1e308}}`,
		`"metadata":{"a":` + strings.Repeat("[", 98) + strings.Repeat("]", 98) + `}`, // 100 levels
		`"use_vision":false,"directly_open_url":true,"directlyOpenUrl":true,"extended_system_message":"be brief"`,
		`"extra":{"use_vision":true,"directlyOpenUrl":"yes"}`, `"metadata":{"\ud83d":1,"\ud83e":2}`,
		`"task_id":"TASKS-7"`, `"task_id":"TASKS-7.r1"`, `"task_id":"tasks-3"`, `"task_id":"TASKS-3a"`, `"task_id":"TASKS-x"`,
		`"expires_at":"2026-11-27T10:00:00z"`, `"expires_at":"2026-11-27t10:00:00Z"`, `"expires_at":"2026-11-27t10:00:00.5z"`,
		`"batch":"night-2026.11.26"`, `"retries":5,"retry_on":[],"retry_with":[]`, `"secret_refs":{}`,
		`"session":{},"browser":{}`, `"session":{"tags":[],"timeout":{},"live_view":{},"proxy":7},"browser":{"profile":null}`,
		`"on_unknown_submission":"fence"`, `"on_unknown_submission":"fail","sessionId":"s"`, `"on_unknown_submission":"resubmit","sessionId":"s"`,
		`"timeout":"720h"`, `"expires_at":"2030-01-02T03:04:05.5+02:00"`, `"task_id":"a"`,
	} {
		all = append(all, with(members))
	}
	return all
}

func TestEveryFieldIsAccepted(t *testing.T) {
	for _, data := range accepted() {
		parse(t, data)
	}
	if r := parse(t, `{"prompt":"p","sessionId":"s"}`); r.SessionID != "s" {
		t.Errorf("got session %q, want s without a url", r.SessionID)
	}
	if r := parse(t, `{"prompt":"p","url":"HTTPS://a.example:8443/x?y#z"}`); r.Secrets.String() != (task.Secrets{}).String() {
		t.Errorf("got %v", r.Secrets)
	}
}

func TestANameMayRepeatInAnotherObject(t *testing.T) {
	for _, metadata := range []string{
		`{"a":{"a":{"a":1}}}`,
		`{"a":[{"a":1},{"a":2}],"b":{"a":3}}`,
		`{"metadata":1,"prompt":2}`,
		`{"x":{"b":1},"y":[{"b":[{"b":1}]}],"b":2}`,
		`{"a":1,"A":2,"á":3,"a\u0000":4}`,
	} {
		parse(t, with(`"metadata":`+metadata))
	}
	for _, metadata := range []string{
		`{"a":{"b":1},"a":2}`,
		`{"x":{"a":{"c":1},"b":2,"a":3}}`,
		`{"x":[1,{"a":[{}],"\u0061":3}]}`,
		`{"x":[[[{"a":1,"b":{"a":1},"a":1}]]]}`,
	} {
		e := refuse(t, delivery(with(`"metadata":`+metadata)))
		if want := "metadata must not contain the same name twice: a"; e.Message != want || e.Field != "metadata" {
			t.Errorf("%s: got %s, want %s", metadata, e.Message, want)
		}
	}
}

func TestARefusalNamesItsField(t *testing.T) {
	for data, want := range map[string]string{
		``:                                   "",
		`{"prompt":"p"}`:                     "",
		`{"url":"https://a.example"}`:        "prompt",
		with(`"urll":1`):                     "urll",
		with(`"extra":{"url":1}`):            "extra.url",
		with(`"secret_values":{"PIN":1}`):    "secret_values.PIN",
		with(`"secret_values":{"A.B":1}`):    "secret_values.A.B",
		with(`"metadata":{"a":1,"a":2}`):     "metadata",
		with(`"` + "a.b" + `":1`):            "a.b",
		with(`"task_id":"a b"`):              "task_id",
		with(`"session":{"tags":[1]}`):       "session.tags.0",
		with(`"session":{},"sessionId":"s"`): "session",
		with(`"output_schema":{"type":7}`):   "output_schema",
		with(`"prompt":"q"`):                 "prompt",
		with(`"secret_values":{"\ud83d":1}`): "secret_values.\uFFFD",
	} {
		if got := refuse(t, delivery(data)).Field; got != want {
			t.Errorf("%s: got %q, want %q", data, got, want)
		}
	}
}

func TestATextIsTruncatedBetweenTwoCharacters(t *testing.T) {
	for _, shift := range []string{"", "x", "xx"} {
		text := shift + strings.Repeat("€", 40)
		got := refuse(t, delivery(with(`"timeout":"`+text+`"`))).Message
		if !utf8.ValidString(got) || !strings.HasSuffix(got, `€…")`) || len(got) > 200 {
			t.Errorf("got %s, want whole characters and an ellipsis", got)
		}
	}
}
