package task_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestDeadLettersLoseTheirSecrets(t *testing.T) {
	for _, tc := range []struct{ name, data, want string }{
		{
			"values", `{"prompt": "use hunter2", "secret_values": {"PW": "hunter2", "B":"x\"y"}, "n":1.0}`,
			`{"prompt": "use [redacted:PW]", "secret_values": {"PW": "[redacted:PW]", "B":"[redacted:B]"}, "n":1.0}`,
		},
		{
			"values that are no strings", `{"secret_values":{"A":1234,"B":null,"C":["hunter2",{"d":true}],"D":false},"p":[1234,"hunter2"]}`,
			`{"secret_values":{"A":"[redacted:A]","B":"[redacted:B]","C":"[redacted:C]","D":"[redacted:D]"},"p":["[redacted:A]","[redacted:C]"]}`,
		},
		{"empty value", `{"secret_values":{"A":""}}`, `{"secret_values":{"A":"[redacted:A]"}}`},
		{
			"twice", `{"secret_values":{"A":"one1"},"secret_values":{"A":"two2","A":"three3"},"p":"one1two2three3"}`,
			`{"secret_values":{"A":"[redacted:A]"},"secret_values":{"A":"[redacted:A]","A":"[redacted:A]"},"p":"[redacted:A]"}`,
		},
		{"no object", `{"secret_values":"hunter2","p":"hunter2"}`, `{"secret_values":"[redacted]","p":"[redacted]"}`},
		{"array", `{"secret_values":["hunter2"],"p":"hunter2"}`, `{"secret_values":"[redacted]","p":"[redacted]"}`},
		{"name that shows the value", `{"secret_values":{"hunter2":"hunter2"}}`, `{"secret_values":{"[redacted]":"[redacted]"}}`},
		{
			"escaped elsewhere", `{"secret_values":{"A":"a\"b"},"p":"{\"x\":\"a\\\"b\"}","q":"\u0061\u0022b"}`,
			`{"secret_values":{"A":"[redacted:A]"},"p":"{\"x\":\"[redacted:A]\"}","q":"[redacted:A]"}`,
		},
		{"further inside", `{"extra":{"secret_values":{"A":"hunter2"}}}`, `{"extra":{"secret_values":{"A":"[redacted:A]"}}}`},
		{"list of requests", `[{"secret_values":{"A":"hunter2"}}]`, `[{"secret_values":{"A":"[redacted:A]"}}]`},
		{"near spelling", `{"secretValues":{"A":"hunter2"}}`, `{"secretValues":{"A":"[redacted:A]"}}`},
		{"encoded twice", `"{\"secret_values\":{\"A\":\"hunter2\"}}"`, `"{\"secret_values\":{\"A\":\"[redacted:A]\"}}"`},
		{"escaped name", `{"secret\u005fvalues":{"A":"hunter2"}}`, `{"secret\u005fvalues":{"A":"[redacted:A]"}}`},
		{
			"in a schema", `{"output_schema":{"properties":{"secret_values":{"type":"object"}}},"metadata":{"secrets":{"a":"b"}}}`,
			`{"output_schema":{"properties":{"secret_values":{"type":"object"}}},"metadata":{"secrets":{"a":"b"}}}`,
		},

		{"cut off", `{"p":"hunter2","secret_values":{"A":"hunter2","B":"cor`, `{"p":"[redacted:A]","secret_values":{"A":"[redacted:A]","B":"[redacted:B]"`},
		{"cut off after the colon", `{"secret_values":{"A":`, `{"secret_values":{"A":`},
		{"missing comma", `{"secret_values":{"A":"hunter2"} "p":"hunter2"}`, `{"secret_values":{"A":"[redacted:A]"} "p":"[redacted:A]"}`},
		{"unquoted names", `{secret_values: {A: "hunter2", B: 1234}, p: "hunter2"}`, `{secret_values: {A: "[redacted:A]", B: "[redacted:B]"}, p: "[redacted:A]"}`},
		{"single quotes", `{'secret_values': {'A': 'hunter2'}}`, `{'secret_values': {'A': "[redacted:'A']"}}`},
		{"stray quote before", `{"p":"a "b" c", "secret_values":{"A":"hunter2"}}`, `{"p":"a "b" c", "secret_values":{"A":"[redacted:A]"}}`},
		{"escaped elsewhere, broken", `{"secret_values":{"A":"a\"b"},"p":"a\"b"`, `{"secret_values":{"A":"[redacted:A]"},"p":"[redacted:A]"`},
		{"wrong bracket", `{"secret_values":{"A":"hunter2"]},"p":"hunter2"}`, `{"secret_values":{"A":"[redacted:A]""[redacted]"},"p":"[redacted:A]"}`},
	} {
		if got := string(task.RedactRequest([]byte(tc.data))); got != tc.want {
			t.Errorf("%s: %s\ngot  %s\nwant %s", tc.name, tc.data, got, tc.want)
		}
	}
}

func TestWhatHidesNothingIsLeftAlone(t *testing.T) {
	for _, data := range []string{
		``, `x`, "\xff\x00", `{"prompt":"p"}`, `{"prompt":"the secret_values: A"}`, ` [1, 2.0] `, `{"secret_values":{}}`,
	} {
		if got := string(task.RedactRequest([]byte(data))); got != data {
			t.Errorf("%q: got %q, want it as it came", data, got)
		}
	}
}

func TestRedactingTakesLinearTime(t *testing.T) {
	const size = 1 << 20
	repeat := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, data := range map[string]string{
		"nested names":   repeat(`{"secret_values":`),
		"names":          repeat(`"secret_values":`),
		"escapes":        `{"secret_values":{"A":"b"},"p":"` + repeat(`\\`),
		"many values":    `{"secret_values":{` + repeat(`"A":"b%c",`),
		"wrong brackets": `{"secret_values":{` + repeat(`]`),
		"short value":    `{"secret_values":{"` + strings.Repeat("N", 64) + `":"1"},"p":"` + repeat("1") + `"}`,
	} {
		began := time.Now()
		got := task.RedactRequest([]byte(data))
		if took := time.Since(began); took > 10*time.Second || len(got) > 8*size {
			t.Errorf("%s: took %v for %d bytes", name, took, len(got))
		}
	}
}

func FuzzRedactRequest(f *testing.F) {
	for _, value := range []string{"hunter2", `a"b`, "1", "é", "{", ","} {
		f.Add(value, []byte(`{"p":"hunter2","n":[1,2],"m":{"k":"a\"b"}}`), 0)
		f.Add(value, []byte(`{"p":"hunter2","secret_values":`), 3)
		f.Add(value, []byte(`{"secret_values":{"A":1},"secret_values":"x"}`), 12)
	}
	f.Fuzz(func(t *testing.T, value string, rest []byte, stop int) {
		task.RedactRequest(rest)
		if !markable(value) || !json.Valid(rest) {
			return
		}
		quoted := marshal(t, value)
		data := []byte(`{"secret_values":{"PIN":` + quoted + `},"rest":` + string(rest) + `}`)
		got := task.RedactRequest(data)
		if !json.Valid(got) || holdsSecret(t, got, value) && !partOf(value, "secret_values rest") {
			t.Fatalf("%s: got %s, want JSON without %q", data, got, value)
		}
		if stop %= len(data); stop > len(`{"secret_values":{"PIN":`)+len(quoted) {
			got := string(task.RedactRequest(data[:stop]))
			if before, _, _ := strings.Cut(got, `},"rest"`); strings.Contains(before, quoted) {
				t.Fatalf("%s: got %s", data[:stop], got)
			}
		}
	})
}
