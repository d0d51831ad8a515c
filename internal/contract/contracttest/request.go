package contracttest

import (
	"strings"
	"testing"
)

// Difference is a kind of requests that task.ParseRequest refuses although they fit the schema of a request: a rule that a
// JSON Schema cannot state. api/README.md lists them under the same names.
type Difference struct {
	Name     string
	Rule     string   // a part of the refusal's text
	Examples []string // each is such a request
	Both     []string // refused with the same text, and by the schema as well: as much of the rule as it can state
}

// ByteOrderMark may stand before a request. It is the one thing that ParseRequest skips and that the reader of a schema's
// validator may refuse.
const ByteOrderMark = "\ufeff"

// Differences returns all differences.
func Differences() []Difference {
	return []Difference{
		{"sizes in bytes", " bytes", []string{
			with(`"metadata":{"a":"` + strings.Repeat("x", 64<<10) + `"}`),
			with(`"sessionId":"` + strings.Repeat("é", 129) + `"`),
			with(`"secret_values":{"` + strings.Repeat("é", 33) + `":"v"}`),
			with(`"secret_refs":{"PIN":"` + strings.Repeat("é", 129) + `"}`),
			strings.Repeat(" ", 4<<20) + with(`"model":"m"`),
		}, []string{
			with(`"sessionId":"` + strings.Repeat("s", 257) + `"`), with(`"secret_values":{"` + strings.Repeat("n", 65) + `":"v"}`),
			with(`"secret_refs":{"PIN":"../pin"}`), with(`"secret_refs":{"PIN":"/pin"}`), with(`"secret_refs":{"PIN":"a/./pin"}`),
			with(`"secret_refs":{"PIN":"a//pin"}`), with(`"secret_refs":{"PIN":"a/"}`), with(`"secret_refs":{"PIN":".."}`),
			with(`"secret_refs":{"PIN":""}`), with(`"secret_refs":{"PIN":"a\\b"}`), with(`"secret_refs":{"PIN":"a\u0000"}`),
		}},
		{"UTF-8", "is not valid UTF-8", []string{with(`"model":"` + "\xff" + `"`)}, nil},
		{"names that come twice", " twice", []string{with(`"url":"https://b.example"`), with(`"metadata":{"a":1,"a":2}`)}, nil},
		{"depth", "nested more than 100 levels deep", []string{with(`"metadata":{"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`)}, nil},
		{"numbers that do not fit into a float64", "that fit into a float64", []string{with(`"metadata":{"a":1e400}`)}, nil},
		{"plain integers", "must be a plain integer", []string{with(`"max_steps":1.0`), with(`"retries":1e0`)}, []string{
			with(`"max_steps":0`), with(`"max_steps":2147483648`), with(`"max_steps":1.5`), with(`"retries":-1`), with(`"retries":6`),
			with(`"retry_with":[{"max_steps":0}]`),
		}},
		{"hosts", "must be an absolute URL", []string{
			`{"prompt":"p","url":"http://[::1"}`, `{"prompt":"p","url":"https://:443"}`, `{"prompt":"p","url":"https://a b"}`,
		}, []string{
			`{"prompt":"p","url":"a.example"}`, `{"prompt":"p","url":"/path"}`, `{"prompt":"p","url":"ftp://a.example"}`, `{"prompt":"p","url":"https:///p"}`,
			`{"prompt":"p","url":"https:a.example"}`, `{"prompt":"p","url":""}`, `{"prompt":"p","url":"x https://a.example"}`,
		}},
		{"the length of a timeout", "must be a duration", []string{with(`"timeout":"0s"`), with(`"timeout":"721h"`)}, []string{
			with(`"timeout":"1"`), with(`"timeout":"-1s"`), with(`"timeout":""`), with(`"timeout":"1h 5m"`), with(`"timeout":"1d"`), with(`"timeout":"."`),
			with(`"timeout":".s"`),
		}},
		{"leap seconds and the zero time", "must be an RFC 3339 time", []string{
			with(`"expires_at":"2016-12-31T23:59:60Z"`), with(`"expires_at":"0001-01-01T00:00:00Z"`),
		}, []string{
			with(`"expires_at":"tomorrow"`), with(`"expires_at":"2026-11-27T10:00:00,5Z"`), with(`"expires_at":"2026-11-27T1:00:00Z"`),
			with(`"expires_at":"2026-11-27 10:00:00Z"`), with(`"expires_at":"2026-02-30T10:00:00Z"`), with(`"expires_at":"2026-11-27T24:00:00Z"`),
			with(`"expires_at":"2026-11-27T10:00:00+24:00"`), with(`"expires_at":"2026-11-27"`),
		}},
		{"secrets in two places", "must not be in secret_values as well", []string{with(`"secret_refs":{"PIN":"pin"},"secret_values":{"PIN":"1"}`)}, nil},
		{"schemas in a request", "is not a valid JSON Schema", []string{with(`"output_schema":{"type":"objct"}`)}, nil},
		{"ids of other requests", "which is for requests without an id", []string{with(`"task_id":"TASKS-3"`)}, nil},
	}
}

// with returns a request that has the minimum and these members.
func with(members string) string { return `{"prompt":"p","url":"https://a.example",` + members + `}` }

// Agree reports a request that task.ParseRequest and the schema of requests judge differently, unless that is one of the
// differences. err is what ParseRequest returned.
func (s Schema) Agree(tb testing.TB, request []byte, err error) {
	tb.Helper()
	misfit := s.Check(request)
	switch {
	case (err == nil) == (misfit == nil):
	case err == nil && !strings.HasPrefix(string(request), ByteOrderMark):
		tb.Errorf("%.300s\nis read, but the schema refuses it: %v", request, misfit)
	case err != nil && !isDifference(err):
		tb.Errorf("%.300s\nfits the schema, but is refused: %v", request, err)
	}
}

// isDifference reports whether a refusal is by a rule that the schema cannot state.
func isDifference(err error) bool {
	for _, each := range Differences() {
		if strings.Contains(err.Error(), each.Rule) {
			return true
		}
	}
	return false
}
