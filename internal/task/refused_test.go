package task_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestDeadLettersLoseTheirSecrets(t *testing.T) {
	for _, tc := range []struct{ name, data, want string }{
		{
			"values", `{"prompt": "use hunter2", "secret_values": {"PW": "hunter2", "B":"x\"y"}, "n":1.0}`,
			`{"prompt": "use [redacted:PW]", "secret_values": {"PW": "[redacted:PW]", "B":"[redacted:B]"}, "n":1.0}`,
		},
		{
			"values that are no strings", `{"secret_values":{"A":1234,"B":null,"C":["hunter2",{"d":true}],"D":false},"p":[1234,"hunter2","d"]}`,
			`{"secret_values":{"A":"[redacted:A]","B":"[redacted:B]","C":"[redacted:C]","D":"[redacted:D]"},"p":["[redacted:A]","[redacted:C]","d"]}`,
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
		{"encoded twice and elsewhere", `["{\"secret_values\":{\"A\":\"hunter2\"}}","hunter2"]`, `["{\"secret_values\":{\"A\":\"[redacted:A]\"}}","[redacted:A]"]`},
		{"escaped name", `{"secret\u005fvalues":{"A":"hunter2"}}`, `{"secret\u005fvalues":{"A":"[redacted:A]"}}`},
		{"after a byte order mark", "\ufeff" + `{"secret_values":{"A":"hunter2"}}`, "\ufeff" + `{"secret_values":{"A":"[redacted:A]"}}`},
		{"not UTF-8", `{"p":"hunt` + "\xff" + `er","secret_values":{"A":"hunt` + "\xff" + `er"}}`, `{"p":"[redacted:A]","secret_values":{"A":"[redacted:A]"}}`},
		{
			"in a schema", `{"output_schema":{"properties":{"secret_values":{"type":"object"}}},"metadata":{"secrets":{"a":"b"}}}`,
			`{"output_schema":{"properties":{"secret_values":{"type":"object"}}},"metadata":{"secrets":{"a":"b"}}}`,
		},
	} {
		if got, kept := task.RedactRequest([]byte(tc.data)); string(got) != tc.want || !kept {
			t.Errorf("%s: %s\ngot  %s, %v\nwant %s", tc.name, tc.data, got, kept, tc.want)
		}
	}
}

func TestBytesThatAreNotJSONAndMayHoldSecretsAreNotKept(t *testing.T) {
	for _, data := range []string{
		`{"p":"hunter2","secret_values":{"A":"hunter2","B":"cor`,
		`{"secret_values":{"A":`,
		`{"secret_values":{"A":"hunter2"} "p":"hunter2"}`,
		`{secret_values: {A: "hunter2", B: 1234}, p: "hunter2"}`,
		`{'secret_values': {'A': 'hunter2'}}`,
		`{'secretValues': {'A': 'hunter2'}}`,
		`{"SECRET-VALUES": {'A': 'hunter2'}`,
		`{"secrets" : {'A': 'hunter2'}`,
		`{"p":"a "b" c", "secret_values":{"A":"hunter2"}}`,
		`prompt=p&secret_values=hunter2`,
		`{"secret\u005fvalues":{"A":"hunter2"}`,
		`{\"secret_values\":{\"A\":\"hunter2\"}}`,
		`request=%7B%22secret%5fvalues%22%3A`,
		"s\x00e\x00c\x00r\x00e\x00t\x00_\x00v\x00a\x00l\x00u\x00e\x00s\x00",
	} {
		if got, kept := task.RedactRequest([]byte(data)); kept || len(got) > 0 {
			t.Errorf("%q: got %q, %v, want no body", data, got, kept)
		}
	}
}

// Readers of JSON stop at some depth. A secret beyond it must not slip through.
func TestSecretsInDeepJSONAreRedactedOrNotKept(t *testing.T) {
	for _, depth := range []int{100, 9_997, 9_998, 9_999, 10_000, 10_001, 100_000} {
		begin, end := strings.Repeat("[", depth), strings.Repeat("]", depth)
		for name, data := range map[string]string{
			"after the depth":  `{"a":` + begin + end + `,"secret_values":{"A":"hunter2"}}`,
			"in the depth":     begin + `{"secret_values":{"A":"hunter2"}}` + end,
			"as a deep secret": `{"secret_values":{"A":` + begin + `"hunter2"` + end + `},"b":"hunter2"}`,
		} {
			got, kept := task.RedactRequest([]byte(data))
			if bytes.Contains(got, []byte("hunter2")) || kept && !json.Valid(got) {
				t.Errorf("%d levels, %s: got kept %v and the secret in it", depth, name, kept)
			}
		}
	}
}

func TestARequestWithoutSecretsIsLeftAlone(t *testing.T) {
	for _, data := range []string{
		``, `x`, "\xff\x00", `{"prompt":"p"}`, `{"prompt":"the secret_values: A"}`, ` [1, 2.0] `, `{"secret_values":{}}`,
		`{"prompt":"the secrets of cooking`,
	} {
		if got, kept := task.RedactRequest([]byte(data)); string(got) != data || !kept {
			t.Errorf("%q: got %q, %v, want it as it came", data, got, kept)
		}
	}
}

func TestTooManySecretsLeaveNoBody(t *testing.T) {
	got, kept := task.RedactRequest([]byte(`{"prompt":"<999>",` + values(1000) + `}`))
	if !kept || !strings.HasPrefix(string(got), `{"prompt":"[redacted:N999]"`) {
		t.Errorf("1000: got %.100s, %v", got, kept)
	}
	if got, kept := task.RedactRequest([]byte(`{"prompt":"<999>",` + values(1001) + `}`)); kept || len(got) > 0 {
		t.Errorf("1001: got %.100s, %v, want no body", got, kept)
	}
	if e := refuse(t, delivery(with(`"timeout":"<7>",`+values(1001)))); strings.Contains(e.Error(), "<7>") {
		t.Errorf("got %v, want it without the secret", e)
	}
}

// The body of a dead letter and what it takes to make it are a few times the request.
func TestRedactingARequestIsBounded(t *testing.T) {
	const size = 128 << 10
	repeat := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, data := range map[string]string{
		"names":                  `[` + repeat(`{"secret_values":1},`) + `0]`,
		"escapes":                `{"secret_values":{"A":"b"},"p":"` + repeat(`\\`) + `"}`,
		"the same value":         `{"secret_values":{` + repeat(`"A":"b%c",`) + `"B":1}}`,
		"short value":            `{"secret_values":{"` + strings.Repeat("N", 64) + `":"1"},"p":"` + repeat("1") + `"}`,
		"short value and blanks": `{"secret_values":{"` + strings.Repeat("N", 64) + `":"1"},"p":"` + repeat("1 ") + `"}`,
		"numbers":                `{"secret_values":{"` + strings.Repeat("N", 64) + `":"1"},"p":[` + repeat("1,") + `1]}`,
		"all escapings":          `{"secret_values":{"A":"a"},"p":"+%41\\n` + repeat("a") + `"}`,
		"broken":                 `{"secret_values":{"A":"a"},"p":"+%41\\n` + repeat("a"),
		"strings that are JSON":  `[` + strings.Repeat(`"{\"secret_values\":{\"A\":\"a\"}}",`, 100) + `0]`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		got, _ := task.RedactRequest([]byte(data))
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if took > time.Minute || len(got) > 3*size {
			t.Errorf("%s: took %v for %d bytes", name, took, len(got))
		}
		if all := after.TotalAlloc - before.TotalAlloc; all > 32*size {
			t.Errorf("%s: got %d KiB allocated in all, want %d at most", name, all>>10, 32*size>>10)
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
		if got, _ := task.RedactRequest(rest); len(got) > 2*len(rest)+32<<10 {
			t.Fatalf("%d bytes became %d", len(rest), len(got))
		}
		const around = "redacted:PIN secret_values rest"
		if value == "" || strings.Contains(around, value) || !utf8.ValidString(value) || strings.ContainsAny(value, "\x00[]") || !json.Valid(rest) {
			return
		}
		data := []byte(`{"secret_values":{"PIN":` + marshal(t, value) + `},"rest":` + string(rest) + `}`)
		if got, kept := task.RedactRequest(data); kept && (!json.Valid(got) || shows(got, value)) {
			t.Fatalf("%s: got %s, want JSON without %q", data, got, value)
		}
		if stop %= len(data); stop > len(`{"secret_values"`) {
			if got, kept := task.RedactRequest(data[:stop]); kept {
				t.Fatalf("%s: got %s, want no body", data[:stop], got)
			}
		}
	})
}

func TestTheMarksOfARedactedRequestAreFoundAgain(t *testing.T) {
	for request, want := range map[string]string{
		`{"prompt":"use [redacted:PIN]"}`:                                        "[]",
		`{"prompt":"p","secret_values":{}}`:                                      "[]",
		`{"prompt":"1234","secret_values":{"PIN":"1234"}}`:                       "[[redacted:PIN]]",
		`{"prompt":"p","secret_values":"1234"}`:                                  "[[redacted]]",
		`{"prompt":"p","extra":{"secrets":{"é\"":1234}}}`:                        `[[redacted:é"]]`,
		`{"prompt":"` + strings.Repeat("1 ", 1<<16) + `","secrets":{"PIN":"1"}}`: "[*]",
	} {
		body, _ := task.RedactRequest([]byte(request))
		if got := fmt.Sprint(task.RedactionMarks(body)); got != want {
			t.Errorf("%.80s: got %s, want %s", request, got, want)
		}
	}
}
