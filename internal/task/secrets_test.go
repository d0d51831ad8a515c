package task_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/capstan-worker/capstan/internal/task"
)

// secretsOf returns the secrets of a request with these secret_values.
func secretsOf(t *testing.T, values map[string]string) task.Secrets {
	t.Helper()
	return parse(t, with(`"secret_values":`+marshal(t, values))).Secrets
}

// marshal returns v as encoding/json writes it.
func marshal(tb testing.TB, v any) string {
	tb.Helper()
	encoded, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(encoded)
}

// inside returns what stands between the quotes of a JSON string.
func inside(literal string) string { return literal[1 : len(literal)-1] }

func TestSecretsPrintAsRedacted(t *testing.T) {
	s := secretsOf(t, map[string]string{"PIN": "hunter2x"})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, v := range []any{s, &s, struct{ S task.Secrets }{s}, []task.Secrets{s}} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "hunter") || strings.Contains(got, "68756e") || !strings.Contains(got, "redacted") {
				t.Errorf("%s of a %T: got %s", verb, v, got)
			}
		}
	}
	if got, err := json.Marshal(map[string]any{"s": s}); err != nil || string(got) != `{"s":"[redacted]"}` {
		t.Errorf("JSON: got %s, %v", got, err)
	}
	if got, want := s.String()+s.GoString(), "[redacted][redacted]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTextLosesItsSecrets(t *testing.T) {
	s := secretsOf(t, map[string]string{"PIN": "1234", "LONG": "1234-5678", "TAIL": "5678-xyz", "EMPTY": "", "self": "self"})
	for _, tc := range []struct{ text, want string }{
		{"nothing here", "nothing here"},
		{"", ""},
		{"pin 1234.", "pin [redacted:PIN]."},
		{"1234-5678", "[redacted:LONG]"},
		{"1234-5678-xyz", "[redacted:LONG]"},
		{"12341234", "[redacted:PIN]"},
		{"1234 1234", "[redacted:PIN] [redacted:PIN]"},
		{"5678-xyz1234", "[redacted:TAIL][redacted:PIN]"},
		{"myself", "my[redacted]"},
		{`\u0031\u0032\u0033\u0034`, "[redacted:PIN]"},
		{"%31%32%33%34", "[redacted:PIN]"},
	} {
		if got := s.Text(tc.text); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.text, got, tc.want)
		}
	}
	if got := (task.Secrets{}).Text("1234"); got != "1234" {
		t.Errorf("no secrets: got %q, want the text", got)
	}
}

// escapes returns the ways in which a value can stand in a text.
func escapes(t *testing.T, value string) []string {
	t.Helper()
	forHTML := inside(marshal(t, value))
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		t.Fatal(err)
	}
	plain := inside(strings.TrimSpace(b.String()))
	var ascii strings.Builder
	for _, r := range value {
		if r < 0x10000 {
			fmt.Fprintf(&ascii, `\u%04x`, r)
		}
	}
	all := []string{
		value, forHTML, plain, inside(marshal(t, forHTML)), inside(marshal(t, plain)),
		url.QueryEscape(value), url.PathEscape(value), strings.ReplaceAll(plain, "/", `\/`),
	}
	if strings.ToValidUTF8(value, "") == value && !strings.ContainsFunc(value, func(r rune) bool { return r >= 0x10000 }) {
		all = append(all, ascii.String())
	}
	return all
}

func TestEscapedSecretsAreFound(t *testing.T) {
	for _, value := range []string{`a"b`, `back\slash`, "line\nbreak", "<a&b>", "größe", "p w+1/2%", "😀x", `\u0041`, "tab\tquote'"} {
		s := secretsOf(t, map[string]string{"PIN": value})
		for _, form := range escapes(t, value) {
			if got, want := s.Text("<<"+form+">>"), "<<[redacted:PIN]>>"; got != want {
				t.Errorf("%q as %q: got %q, want %q", value, form, got, want)
			}
		}
	}
}

func TestJSONLosesItsSecrets(t *testing.T) {
	s := secretsOf(t, map[string]string{"PIN": "1234", "PW": `p"w`, "NEG": "-1.5e3"})
	for _, tc := range []struct{ raw, want string }{
		{`{"a": "x1234y" , "b":1.50}`, `{"a": "x[redacted:PIN]y" , "b":1.50}`},
		{`{"1234":"v"}`, `{"[redacted:PIN]":"v"}`},
		{`[1234,12345,-1234,"1234",-1.5e3]`, `["[redacted:PIN]",12345,-1234,"[redacted:PIN]","[redacted:NEG]"]`},
		{`"p\"w <\u00e9>"`, `"[redacted:PW] <é>"`},
		{`"\u00312\u00334"`, `"[redacted:PIN]"`},
		{`"{\"pw\":\"p\\\"w\"}"`, `"{\"pw\":\"[redacted:PW]\"}"`},
		{`"{\"a\":\"{\\\"pw\\\":\\\"p\\\\\\\"w\\\"}\"}"`, `"{\"a\":\"{\\\"pw\\\":\\\"[redacted:PW]\\\"}\"}"`},
		{`1234`, `"[redacted:PIN]"`},
	} {
		if got := string(s.JSON(json.RawMessage(tc.raw))); got != tc.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.raw, got, tc.want)
		}
	}
}

func TestJSONWithoutSecretsIsReturnedItself(t *testing.T) {
	raw := json.RawMessage(`{"a":"\u00e9<", "b":1.0}`)
	for _, s := range []task.Secrets{{}, secretsOf(t, map[string]string{"PIN": "1234"})} {
		if got := s.JSON(raw); &got[0] != &raw[0] || len(got) != len(raw) {
			t.Errorf("got a copy, want the same slice")
		}
	}
	if got := secretsOf(t, map[string]string{"PIN": "1234"}).JSON(nil); got != nil {
		t.Errorf("got %s, want nil", got)
	}
}

func TestEventsLoseTheirSecretsButNotTheirMetadata(t *testing.T) {
	s := secretsOf(t, map[string]string{"PIN": "1234"})
	before := task.Event{
		Result: json.RawMessage(`"1234"`), RawResult: json.RawMessage(`{"result":"1234"}`),
		Error: task.NewError(task.WorkflowFailed, "wrong pin 1234"), Metadata: json.RawMessage(`{"order":1234}`),
	}
	after := s.Event(before)
	if string(after.Result) != `"[redacted:PIN]"` || string(after.RawResult) != `{"result":"[redacted:PIN]"}` ||
		after.Error.Message != "wrong pin [redacted:PIN]" || string(after.Metadata) != `{"order":1234}` {
		t.Errorf("got %s, %s, %s, %s", after.Result, after.RawResult, after.Error.Message, after.Metadata)
	}
	if before.Error.Message != "wrong pin 1234" {
		t.Errorf("got %q, want the caller's error left alone", before.Error.Message)
	}
}

// holdsSecret reports whether a decoded string, name or number of the JSON shows the value outside of
// marks.
func holdsSecret(t *testing.T, raw []byte, value string) bool {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return false
		}
		text, ok := token.(string)
		if n, isNumber := token.(json.Number); isNumber && string(n) == value {
			return true
		}
		if ok && strings.Contains(withoutMarks(text), value) {
			return true
		}
	}
}

func withoutMarks(text string) string {
	return strings.NewReplacer("[redacted:PIN]", "\x00", "[redacted]", "\x00").Replace(text)
}

// partOf reports whether a value stands in a text.
func partOf(value, text string) bool { return strings.Contains(text, value) }

// markable reports whether a value can be told from the marks around it.
func markable(value string) bool {
	return value != "" && utf8.ValidString(value) && !strings.ContainsAny(value, "\x00[]") &&
		!partOf(value, "redacted:PIN")
}

func FuzzSecretsJSON(f *testing.F) {
	for _, value := range []string{"1234", `p"w\`, "é<", "a b", `\u0041`, "aa", "-1"} {
		quoted := marshal(f, value)
		f.Add(value, []byte(quoted))
		f.Add(value, []byte(`{"a":[1234,"x","\u0061a"],"b":`+quoted+`}`))
		f.Add(value, []byte(`{"a":"{\"b\":`+url.QueryEscape(value)+`}"}`))
	}
	f.Fuzz(func(t *testing.T, value string, raw []byte) {
		if !markable(value) || !json.Valid(raw) {
			return
		}
		s := secretsOf(t, map[string]string{"PIN": value})
		clean := s.JSON(raw)
		if !json.Valid(clean) {
			t.Fatalf("%q in %s: got %s, want JSON", value, raw, clean)
		}
		if holdsSecret(t, clean, value) {
			t.Fatalf("%q in %s: got %s, want it gone", value, raw, clean)
		}
		for _, form := range escapes(t, value) {
			if got := withoutMarks(s.Text("(" + form + ")")); partOf(form, got) && !partOf(form, "(\x00)") {
				t.Fatalf("%q as %q: got %q, want it gone", value, form, got)
			}
		}
	})
}
