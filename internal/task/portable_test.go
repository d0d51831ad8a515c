package task_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestAValueBecomesOneThatEveryReaderAccepts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, raw, want string }{
		{"a byte of Latin-1", "{\"city\":\"Z\xFCrich\"}", `{"city":"Z` + "\uFFFD" + `rich"}`},
		{"half a character", "\"price 5 \xE2\x82\"", `"price 5 ` + "\uFFFD\uFFFD" + `"`},
		{"in a name", "{\"a\xFF\":1}", `{"a` + "\uFFFD" + `":1}`},
		{"a surrogate in bytes", "\"\xED\xA0\xBD\"", "\"\uFFFD\uFFFD\uFFFD\""},
		{"half an emoji", `["\ud83d"]`, "[\"\uFFFD\"]"},
		{"its other half", `"\uDE80x"`, "\"\uFFFDx\""},
		{"halves in the wrong order", `"\uDE80\ud83d"`, "\"\uFFFD\uFFFD\""},
		{"half an emoji before a whole one", `"\ud83d\ud83d\ude80"`, "\"\uFFFD" + `\ud83d\ude80"`},
		{"half an emoji before an escape", `"\ud83d\n"`, "\"\uFFFD" + `\n"`},
		{"an escaped backslash", `"\\ud83d"`, `"\\ud83d"`},
		{"an emoji", `"\ud83d\ude80 🚀"`, `"\ud83d\ude80 🚀"`},
		{"U+FFFD itself", "\"\uFFFD \\ufffd\"", "\"\uFFFD \\ufffd\""},
		{"line separators", "\"\u2028\u2029\"", "\"\u2028\u2029\""},
		{"a number beyond float64", `{"n": 1e400, "m":-1E+400}`, `{"n": "1e400", "m":"-1E+400"}`},
		{"a long number beyond float64", strings.Repeat("9", 400), `"` + strings.Repeat("9", 400) + `"`},
		{"the largest number", `1.7976931348623157e308`, `1.7976931348623157e308`},
		{"a tiny number", `1e-400`, `1e-400`},
		{"digits of a text", `"1e400"`, `"1e400"`},
		{"only what is broken", " { \"a\" : 1.50 , \"b\" : \"\\u00e9\\/\xFF\" } ", " { \"a\" : 1.50 , \"b\" : \"\\u00e9\\/\uFFFD\" } "},
		{"a name twice", `{"a":1,"a":1e400}`, `{"a":1,"a":"1e400"}`},
	} {
		got := task.Portable(json.RawMessage(tc.raw))
		if string(got) != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestAValueWithoutFaultsIsNotCopied(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`{"a":[1.5e3,"é \ud83d\ude80"]}`, `"` + strings.Repeat("x1e5", 1000) + `"`, ` null `} {
		value := json.RawMessage(raw)
		if got := task.Portable(value); &got[0] != &value[0] || len(got) != len(value) {
			t.Errorf("%.40s: got a copy", raw)
		}
	}
}

// Whatever the API sent, an event is valid UTF-8 and valid JSON for every reader. A value that is so already stays as it is.
func FuzzPortable(f *testing.F) {
	for _, seed := range []string{
		"{\"city\":\"Z\xFCrich\"}", `"\ud83d"`, `"\ud83d\ud83d\ude80"`, `1e400`, `[1e400,{"a":"\uDE80"}]`, `{"a":1,"a":2}`, "\"\u2028\"", `"\\ud83d"`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			task.Portable(raw) // no panic
			return
		}
		before := bytes.Clone(raw)
		got := task.Portable(raw)
		if !bytes.Equal(raw, before) {
			t.Fatalf("%q was changed in place", before)
		}
		var value any
		strict := jsontext.AllowDuplicateNames(true)
		if err := json.Unmarshal(got, &value); err != nil || !jsontext.Value(got).IsValid(strict) {
			t.Fatalf("%q became %q, which is not for every reader: %v", raw, got, err)
		}
		if twice := task.Portable(got); !bytes.Equal(twice, got) {
			t.Fatalf("%q became %q and then %q", raw, got, twice)
		}
		if json.Unmarshal(raw, &value) == nil && jsontext.Value(raw).IsValid(strict) && !bytes.Equal(got, raw) {
			t.Fatalf("%q had no fault and became %q", raw, got)
		}
		ev := task.Event{TaskID: "a", Result: raw, RawResult: raw, Metadata: raw, WorkflowStatus: string(raw), Error: task.NewError(task.Timeout, string(raw))}
		data, err := ev.JSON()
		if err != nil || !utf8.Valid(data) || !jsontext.Value(data).IsValid(strict) {
			t.Fatalf("event of %q: %q, %v", raw, data, err)
		}
	})
}

func BenchmarkPortable(b *testing.B) {
	for name, raw := range map[string]string{
		"small":            `{"heading":"Hello","n":[1,2.5,30],"link":"https://example.com/a1e5","é":true}`,
		"large":            `[` + strings.Repeat(`{"heading":"Hello, this is a text of some length","n":[1,2.5,30]},`, 1<<14) + `0]`,
		"large, suspected": `["1e5",` + strings.Repeat(`{"heading":"Hello, this is a text of some length","n":[1,2.5,30]},`, 1<<14) + `0]`,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				task.Portable(json.RawMessage(raw))
			}
		})
	}
}
