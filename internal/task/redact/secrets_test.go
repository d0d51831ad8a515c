package redact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/capstan-worker/capstan/internal/task/redact"
)

func TestSecretsAreFoundInEveryForm(t *testing.T) {
	all := escapings(t)
	for _, value := range awkward {
		secrets := pin(value)
		check := func(form, text string) {
			t.Helper()
			if got, want := secrets.Text("«"+text+"»"), "«[redacted:PIN]»"; got != want {
				t.Errorf("%q as %s: %q: got %q, want %q", value, form, text, got, want)
			}
			literal := `"` + marshal(t, "«"+text+"»", true) + `"`
			if got, want := string(secrets.JSON([]byte(literal))), `"«[redacted:PIN]»"`; got != want {
				t.Errorf("%q as %s: %s: got %s, want %s", value, form, literal, got, want)
			}
		}
		check("itself", value)
		for outer, escape := range all {
			if strings.ToLower(value) != value && outer == "small hex" {
				continue
			}
			check(outer, escape(value))
			for inner, first := range all {
				if outer != "small hex" && inner != "small hex" {
					check(inner+" in "+outer, escape(first(value)))
				}
			}
		}
	}
}

func TestPrintingShowsNoSecret(t *testing.T) {
	s := pin("hunter2x")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, v := range []any{s, &s, struct{ S redact.Secrets }{s}, []redact.Secrets{s}} {
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

func TestTextIsRedacted(t *testing.T) {
	s := named(map[string]string{"PIN": "1234", "LONG": "1234-5678", "TAIL": "5678-xyz", "EMPTY": "", "self": "self", "OUT": "<inner>", "IN": "inne"})
	for _, tc := range []struct{ text, want string }{
		{"nothing here", "nothing here"},
		{"", ""},
		{"pin 1234.", "pin [redacted:PIN]."},
		{"1234-5678", "[redacted:LONG]"},
		{"1234-5678-xyz", "[redacted:LONG]"},
		{"1234-567 1234-5678", "[redacted:PIN]-567 [redacted:LONG]"},
		{"12341234", "[redacted:PIN]"},
		{"1234 1234", "[redacted:PIN] [redacted:PIN]"},
		{"5678-xyz1234", "[redacted:TAIL][redacted:PIN]"},
		{"1231234", "123[redacted:PIN]"},
		{"<inner", "<[redacted:IN]r"},
		{"<inner>", "[redacted:OUT]"},
		{"myself", "my[redacted]"},
		{`\u0031\u0032\u0033\u0034`, "[redacted:PIN]"},
		{"%31%32%33%34", "[redacted:PIN]"},
		{`12\u00334`, "[redacted:PIN]"},
		{`\u00 %3 %zz &#x; &#; &amp &; &#99999999; &#x110000; \`, `\u00 %3 %zz &#x; &#; &amp &; &#99999999; &#x110000; \`},
		{`&#123`, `&#123`},
	} {
		if got := s.Text(tc.text); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.text, got, tc.want)
		}
	}
	if got := (redact.Secrets{}).Text("1234"); got != "1234" {
		t.Errorf("no secrets: got %q, want the text", got)
	}
}

func TestJSONIsRedacted(t *testing.T) {
	s := named(map[string]string{"PIN": "1234", "PW": `p"w`, "NEG": "-1.5e3", `Q"`: "quoted"})
	for _, tc := range []struct{ raw, want string }{
		{`{"a": "x1234y" , "b":1.50}`, `{"a": "x[redacted:PIN]y" , "b":1.50}`},
		{`{"1234":"v"}`, `{"[redacted:PIN]":"v"}`},
		{`[1234,12345,-1234,"1234",-1.5e3]`, `["[redacted:PIN]",12345,-1234,"[redacted:PIN]","[redacted:NEG]"]`},
		{`"p\"w <\u00e9>"`, `"[redacted:PW] <\u00e9>"`},
		{`"\u00312\u00334"`, `"[redacted:PIN]"`},
		{`"{\"pw\":\"p\\\"w\"}"`, `"{\"pw\":\"[redacted:PW]\"}"`},
		{`"{\"a\":\"{\\\"pw\\\":\\\"p\\\\\\\"w\\\"}\"}"`, `"{\"a\":\"{\\\"pw\\\":\\\"[redacted:PW]\\\"}\"}"`},
		{`1234`, `"[redacted:PIN]"`},
		{`"quoted"`, `"[redacted:Q\"]"`},
		{`"\\" `, `"\\" `},
	} {
		if got := string(s.JSON([]byte(tc.raw))); got != tc.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tc.raw, got, tc.want)
		}
	}
}

func TestJSONWithoutSecretsIsNotCopied(t *testing.T) {
	raw := []byte(`{"a":"\u00e9<", "b":1.0}`)
	for _, s := range []redact.Secrets{{}, pin("1234")} {
		if got := s.JSON(raw); &got[0] != &raw[0] || len(got) != len(raw) {
			t.Errorf("got a copy, want the same slice")
		}
	}
	if got := pin("1234").JSON(nil); got != nil {
		t.Errorf("got %s, want nil", got)
	}
}

func TestAKeyHasAMarkWithoutAName(t *testing.T) {
	s := pin("1234").With("sk-live-1", "", "sk-old-2")
	if got, want := s.Text("1234 wss://x?apiKey=sk-live-1&k=sk%2Dold-2"), "[redacted:PIN] wss://x?apiKey=[redacted]&k=[redacted]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := (redact.Secrets{}).With("sk-1").Text("sk-1"), "[redacted]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := pin("1234").Text("sk-live-1"), "sk-live-1"; got != want {
		t.Errorf("got %s, want %s: With is a copy", got, want)
	}
}

func TestMarksNeverMakeATextMuchLonger(t *testing.T) {
	long := strings.Repeat("N", 64)
	s := named(map[string]string{long: "a", long[:63]: "b", "D": "1"})
	for _, part := range []string{"a", "ab", "a ", `a\u0062`, "1,"} {
		in := strings.Repeat(part, 20_000)
		if got := s.Text(in); len(got) > 2*len(in)+32<<10 || strings.ContainsAny(got, "ab1") && !strings.Contains(got, "redacted") {
			t.Errorf("%q repeated: got %d bytes of %d: %.40s", part, len(got), len(in), got)
		}
	}
	for _, part := range []string{`1,`, `"a",`, `"\u0061",`} {
		in := []byte("[" + strings.Repeat(part, 20_000) + "0]")
		before := bytes.Clone(in)
		got := s.JSON(in)
		if len(got) > 2*len(in)+32<<10 || !json.Valid(got) || bytes.ContainsAny(got, "ab1") {
			t.Errorf("%s repeated: got %d bytes of %d: %.40s", part, len(got), len(in), got)
		}
		if !bytes.Equal(in, before) {
			t.Errorf("%s repeated: the value itself was changed", part)
		}
	}
	if got, want := s.Text(strings.Repeat("a ", 50)), strings.Repeat("[redacted:"+long+"] ", 50); got != want {
		t.Errorf("got %s, want full marks in a short text", got)
	}
}

func TestManySecretsAreAllFound(t *testing.T) {
	values := map[string]string{}
	var in, want strings.Builder
	for i := range 1000 {
		name, value := fmt.Sprintf("N%d", i), fmt.Sprintf("<%d>", i)
		values[name] = value
		in.WriteString(html.EscapeString(value))
		want.WriteString("[redacted:" + name + "]")
	}
	if got := named(values).Text(in.String()); got != want.String() {
		t.Errorf("got %.300s", got)
	}
}

// Many goroutines use the same prepared secrets.
func TestPreparedSecretsCanBeShared(t *testing.T) {
	secrets := named(map[string]string{"PIN": "4711-0815", "WORD": `a"b`})
	prepared := secrets.Prepared()
	text := `4711-0815, %34711-0815, a\"b and ` + url.QueryEscape(`a"b`)
	want := secrets.Text(text)
	if want == text {
		t.Fatal("nothing is found in the text")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if got := prepared.Text(text); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	wg.Wait()
	if got, want := prepared.With("key").Text("key"), redact.Bare; got != want {
		t.Errorf("got %q for a key that was added later, want %q", got, want)
	}
	if got := (redact.Secrets{}).Prepared().Text(text); got != text {
		t.Errorf("got %q without secrets", got)
	}
}
