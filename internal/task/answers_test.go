package task_test

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/task/schema"
)

const (
	answer   = `{"type":"object","properties":{"result":{"type":"string"}},"required":["result"],"additionalProperties":false}`
	byRef    = `{"$ref":"#/$defs/Answer","$defs":{"Answer":` + answer + `}}`
	byAllOf  = `{"allOf":[` + answer + `]}`
	byAnyOf  = `{"anyOf":[` + answer + `,{"type":"object","properties":{"reason":{"type":"string"}},"required":["reason"]}]}`
	number   = `{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}`
	step1    = "Failed to complete task in maximum steps"
	stepText = `{"type":"string"}`
)

func TestASchemaDecidesWhatIsTheAnswer(t *testing.T) {
	for _, tc := range []struct{ name, schema, result, want string }{
		{"result described by reference", byRef, `{"result":"A-17"}`, `{"result":"A-17"}`},
		{"by allOf", byAllOf, `{"result":"A-17"}`, `{"result":"A-17"}`},
		{"by anyOf", byAnyOf, `{"result":"A-17"}`, `{"result":"A-17"}`},
		{"by additional properties", `{"type":"object","additionalProperties":{"type":"string"}}`, `{"status":"delivered","result":"signed"}`, `{"status":"delivered","result":"signed"}`},
		{"by reference, in a string", byRef, `"{\"result\":\"A-17\"}"`, `{"result":"A-17"}`},
		{"by reference, in an envelope", byRef, `{"status":"success","result":{"result":"A-17"}}`, `{"result":"A-17"}`},
		{"by reference, in a string in an envelope", byRef, `{"result":"{\"result\":\"A-17\"}"}`, `{"result":"A-17"}`},
		{"by pattern", `{"type":"object","patternProperties":{"^re":{"type":"string"}}}`, `{"result":"A-17"}`, `{"result":"A-17"}`},
		{"the value inside comes first", `{"anyOf":[{"type":"string"},` + answer + `]}`, `{"result":"A-17"}`, `"A-17"`},

		{"the schema's own status", `{"type":"object","properties":{"status":{"enum":["ok","failed"]},"result":{"type":"string"}},"required":["status","result"]}`, `{"status":"failed","result":"checkout answered HTTP 500"}`, `{"status":"failed","result":"checkout answered HTTP 500"}`},
		{"its own success", `{"type":"object","properties":{"success":{"type":"boolean"},"result":{"type":"string"}},"required":["success"]}`, `{"success":false,"result":"card declined"}`, `{"success":false,"result":"card declined"}`},
		{"its own error", `{"type":"object","properties":{"error":{"type":"string"},"result":{"type":"string"}},"required":["error"]}`, `{"error":"E-12","result":"printer offline"}`, `{"error":"E-12","result":"printer offline"}`},
		{"its own status, by reference", `{"$ref":"#/$defs/a","$defs":{"a":{"type":"object","required":["status","result"]}}}`, `{"status":"failed","result":"x"}`, `{"status":"failed","result":"x"}`},
		{"the words of an envelope around what fits", number, `{"success":false,"error":"late","result":{"n":3}}`, `{"n":3}`},
		{"the words for the step limit beside what fits", number, `{"error":"Maximum number of steps exceeded","result":{"n":3}}`, `{"n":3}`},
		{"the words for the step limit, and nothing fits", number, `{"error":"Maximum number of steps exceeded","result":{"n":"x"}}`, "step_limit"},
		{"the sentence in a whole that fits", `{"properties":{"status":{},"result":{"type":"string"}}}`, `{"status":"success","result":"Task completed (max steps reached)"}`, "step_limit"},

		{"one-line fence", number, "\"```json {\\\"n\\\":3} ```\"", `{"n":3}`},
		{"one-line fence without language", number, "\"```{\\\"n\\\":3}```\"", `{"n":3}`},
		{"one-line fence, language and brace in one", number, "\"```JSON{\\\"n\\\":3}```\"", `{"n":3}`},
		{"one-line fence around a word", `{"type":"boolean"}`, "\"```true```\"", `true`},
		{"four ticks", number, "\"````json\\n{\\\"n\\\":3}\\n````\"", `{"n":3}`},
		{"tildes", number, "\"~~~json\\n{\\\"n\\\":3}\\n~~~\"", `{"n":3}`},
		{"a longer closing fence", number, "\"```json\\n{\\\"n\\\":3}\\n`````\"", `{"n":3}`},
		{"a fence that is not closed", number, "\"```json\\n{\\\"n\\\":3}\\n\"", `{"n":3}`},
		{"a shorter closing fence", number, "\"````json\\n{\\\"n\\\":3}\\n```\"", "invalid_result"},
		{"words in the info string", number, "\"```json title=x\\r\\n{\\\"n\\\":3}\\r\\n```\"", `{"n":3}`},
		{"two ticks", number, "\"``{\\\"n\\\":3}``\"", "invalid_result"},
		{"ticks and tildes", number, "\"```\\n{\\\"n\\\":3}\\n~~~\"", "invalid_result"},

		{"browser-use's step limit", "", `"` + step1 + `"`, "step_limit"},
		{"with a full stop", "", `"` + step1 + `."`, "step_limit"},
		{"with a prefix", "", `"Error: ` + step1 + `."`, "step_limit"},
		{"with a cross", "", `"❌ ` + step1 + `"`, "step_limit"},
		{"in a fence", "", "\"```\\n" + step1 + "\\n```\"", "step_limit"},
		{"where a string is wanted", stepText, `"Error: Maximum number of steps exceeded."`, "step_limit"},
		{"in an envelope's error", "", `{"error":"` + step1 + `","result":null}`, "step_limit"},
		{"in another sentence", "", `"The page said: ` + step1 + `"`, `"The page said: ` + step1 + `"`},
		{"with more after it", "", `"` + step1 + `, but here is what I have"`, `"` + step1 + `, but here is what I have"`},

		{"no error in Python", "", `{"error":"None","result":"x"}`, `"x"`},
		{"no error in Go", "", `{"error":"nil","result":"x"}`, `"x"`},
		{"error 0", "", `{"error":0,"result":"x"}`, `"x"`},
		{"error 0.0", "", `{"error": 0.0 ,"result":"x"}`, `"x"`},
		{"error 5", "", `{"error":5,"result":"x"}`, "agent_failed"},
		{"error true", "", `{"error":true,"result":"x"}`, "agent_failed"},
		{"error with other words", "", `{"error":"None of the pages opened","result":"x"}`, "agent_failed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			request := with(`"model":"m"`)
			if tc.schema != "" {
				request = schemaRequest(tc.schema)
			}
			checkVerdict(t, judge(t, parse(t, request), completed(tc.result)), tc.result, tc.want)
		})
	}
}

func TestAnErrorBesideACompletedResultIsAFailure(t *testing.T) {
	outcome := func(words string) task.Outcome {
		e := completed(`"x"`)
		e.Error = words
		return e
	}
	for _, tc := range []struct{ request, words, want string }{
		{with(`"model":"m"`), "browser crashed", "agent_failed: the agent reported a failure: browser crashed"},
		{with(`"model":"m"`), "Maximum number of steps exceeded", "step_limit: stopped by max_steps"},
		{with(`"model":"m"`), "None", ""},
		{with(`"model":"m"`), " ", ""},
		{schemaRequest(stepText), "browser crashed", ""},
		{schemaRequest(number), "browser crashed", "agent_failed: the agent reported a failure: browser crashed"},
	} {
		v, got := judge(t, parse(t, tc.request), outcome(tc.words)), ""
		if v.Error != nil {
			got = string(v.Error.Code) + ": " + v.Error.Message
		}
		if got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.words, got, tc.want)
		}
	}
}

func TestATimeoutSaysWhatTheLastAnswersWere(t *testing.T) {
	r := parse(t, with(`"timeout":"1h"`))
	v := judge(t, r, task.Outcome{TimedOut: true, LastError: "read answer: invalid character 'N' looking for beginning of value"})
	if want := "did not finish within 1h0m0s; the last answer was: read answer: invalid character 'N' looking for beginning of value"; v.Error.Message != want {
		t.Errorf("got %q, want %q", v.Error.Message, want)
	}
}

func TestResultsCanBeReadByAnyReader(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + "1" + strings.Repeat("]", n) }
	text := func(raw string) string {
		b, err := json.Marshal(raw)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, tc := range []struct{ name, result, want string }{
		{"as deep as a request may be", deep(100), deep(100)},
		{"deeper", deep(101), text(deep(101))},
		{"much deeper", deep(9000), text(deep(9000))},
		{"deeper, in objects", strings.Repeat(`{"a":`, 101) + "1" + strings.Repeat("}", 101), text(strings.Repeat(`{"a":`, 101) + "1" + strings.Repeat("}", 101))},
		{"a number beyond float64", `{"n":1e400}`, text(`{"n":1e400}`)},
		{"a large number", `{"n":1e300}`, `{"n":1e300}`},
		{"half of a pair", `"a\ud83d"`, "\"a\uFFFD\""},
		{"the other half", `"\uDE80b"`, "\"\uFFFDb\""},
		{"halves in the wrong order", `"\ude80\ud83d"`, "\"\uFFFD\uFFFD\""},
		{"two first halves and a second", `"\ud83d\ud83d\ude80"`, "\"\uFFFD" + `\ud83d\ude80"`},
		{"a whole pair", `"\ud83d\ude80"`, `"\ud83d\ude80"`},
		{"a backslash before it", `"\\ud83d"`, `"\\ud83d"`},
		{"in a name", `{"\ud83d":1}`, "{\"\uFFFD\":1}"},
		{"no surrogate", `"\ud7ff\ue000\u00e9"`, `"\ud7ff\ue000\u00e9"`},
	} {
		v := judge(t, parse(t, with(`"model":"m"`)), completed(tc.result))
		if string(v.Result) != tc.want || v.RawResult != nil {
			t.Errorf("%s: got %.60s and raw %.60s, want %.60s", tc.name, v.Result, v.RawResult, tc.want)
		}
		v = judge(t, parse(t, schemaRequest(`{"const":{}}`)), completed(tc.result))
		if v.Error == nil || string(v.RawResult) != tc.want {
			t.Errorf("%s: got raw %.60s, want %.60s", tc.name, v.RawResult, tc.want)
		}
	}
}

func TestADeepResultThatFitsIsASuccess(t *testing.T) {
	deep := strings.Repeat("[", 500) + strings.Repeat("]", 500)
	v := judge(t, parse(t, schemaRequest(`{"items":{"$ref":"#"}}`)), completed(deep))
	if v.Error != nil || string(v.Result) != `"`+deep+`"` {
		t.Errorf("got %.60s, %v, want its text", v.Result, v.Error)
	}
}

func TestAVerdictThatHasToWaitEndsWithTheContext(t *testing.T) {
	d := defaults
	d.Schemas = schema.NewChecker(memory.NewBudget(1 << 20))
	r, err := task.ParseRequest(delivery(schemaRequest(number)), d)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := r.Judge(ctx, completed(`{"n":3}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v, %v, want %v", v, err, context.Canceled)
	}
	if v, err := r.Judge(t.Context(), completed(`{"n":3}`)); err != nil || v.Error != nil {
		t.Errorf("got %+v, %v, want success", v, err)
	}
}

func TestJudgingALargeResultTakesLittleMoreThanIt(t *testing.T) {
	const size = 2 << 20
	text := `"` + strings.Repeat("a", size) + `"`
	object := `{"status":"success","result":` + text + `}`
	rows := `[` + strings.TrimSuffix(strings.Repeat(`{"n":1},`, size/8), ",") + `]`
	for _, tc := range []struct {
		name, schema, result string
		times                uint64 // of the result's size
	}{
		{"text", "", text, 1},
		{"text in an envelope", "", object, 1},
		{"list", "", rows, 1},
		{"members", "", `{` + strings.Repeat(`"a":1,`, size/6) + `"b":2}`, 1},
		{"names of an envelope", "", `{` + strings.Repeat(`"data":1,`, size/9) + `"result":2}`, 2},
		{"text and a schema", stepText, text, 4},
		{"text in an envelope and a schema", stepText, object, 4},
	} {
		r := parse(t, with(`"model":"m"`))
		if tc.schema != "" {
			r = parse(t, schemaRequest(tc.schema))
		}
		outcome := completed(tc.result)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		v := judge(t, r, outcome)
		runtime.ReadMemStats(&after)
		if v.Error != nil {
			t.Errorf("%s: got %v, want success", tc.name, v.Error)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > tc.times*uint64(len(tc.result))+1<<20 {
			t.Errorf("%s: took %d MiB, want at most %d times the result", tc.name, took>>20, tc.times)
		}
	}
}
