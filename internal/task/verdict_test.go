package task_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// fenced is a JSON text in a Markdown fence, a common form of answers.
const fenced = "\"```json\\n{\\\"heading\\\":\\\"Hello\\\"}\\n```\""

// shapes are the shapes a completed workflow's result can have.
var shapes = []struct {
	name, schema, result string
	want                 string // the answer, or the code of the failure
}{
	{"plain object", heading, `{"heading":"Hello"}`, `{"heading":"Hello"}`},
	{"plain object keeps its bytes", `{}`, `{"n": 1.0,"a":"\u00e9<"}`, `{"n": 1.0,"a":"\u00e9<"}`},
	{"plain string", "", `"Hello"`, `"Hello"`},
	{"string that a schema wants", `{"type":"string"}`, `"Hello"`, `"Hello"`},
	{"JSON text that a schema wants as string", `{"type":"string"}`, `"7"`, `"7"`},
	{"JSON text where all fits", `{}`, `"7"`, `7`},
	{"JSON in a string", heading, `" {\"heading\":\"Hello\"} "`, `{"heading":"Hello"}`},
	{"JSON in a string in a string", heading, `"\"{\\\"heading\\\":\\\"Hello\\\"}\""`, `{"heading":"Hello"}`},
	{"JSON in a fence", heading, fenced, `{"heading":"Hello"}`},
	{"JSON in a bare fence", heading, "\"```\\n{\\\"heading\\\":\\\"Hello\\\"}```\"", `{"heading":"Hello"}`},
	{"JSON in a fence after other text", heading, "\"Here: ```{\\\"heading\\\":\\\"Hello\\\"}```\"", "invalid_result"},
	{"two fences", heading, "\"```\\n```{\\\"heading\\\":\\\"Hello\\\"}```\\n```\"", "invalid_result"},
	{"fenced JSON without a schema", "", fenced, fenced},
	{"envelope", heading, `{"status":"success","result":{"heading":"Hello"},"steps":4}`, `{"heading":"Hello"}`},
	{"envelope without a schema", "", `{"status":"success","result":"Hello","error":null,"success":true}`, `"Hello"`},
	{"JSON in a string in an envelope", heading, `{"result":"{\"heading\":\"Hello\"}"}`, `{"heading":"Hello"}`},
	{"envelope in a string", heading, `"{\"result\":{\"heading\":\"Hello\"}}"`, `{"heading":"Hello"}`},
	{"two envelopes", heading, `{"result":{"result":{"heading":"Hello"}}}`, `{"heading":"Hello"}`},
	{"three envelopes", heading, `{"result":{"result":{"result":{"heading":"Hello"}}}}`, `{"heading":"Hello"}`},
	{"four envelopes", "", `{"result":{"result":{"result":{"result":"x"}}}}`, `{"result":"x"}`},
	{"four envelopes, with a schema", heading, `{"result":{"result":{"result":{"result":{"heading":"Hello"}}}}}`, "invalid_result"},
	{"a further key is no envelope", "", `{"result":"x","heading":"Hello"}`, `{"result":"x","heading":"Hello"}`},
	{"keys in another case are no envelope", "", `{"Result":"x"}`, `{"Result":"x"}`},
	{"no result is no envelope", "", `{"status":"success","data":1}`, `{"status":"success","data":1}`},
	{"a schema with a result of its own", `{"required":["result"],"properties":{"result":{"type":"string"}}}`, `{"result":"x"}`, `{"result":"x"}`},
	{"such a schema in an envelope", `{"required":["result"],"properties":{"result":{"type":"string"}}}`, `{"status":"success","result":{"result":"x"}}`, `{"result":"x"}`},
	{"a loose schema does not take the envelope", `{"type":"object"}`, `{"status":"success","result":"I found nothing"}`, "invalid_result"},

	{"blanks around a string", `{"type":"string"}`, ` "Hello" `, ` "Hello" `},

	{"missing", "", ``, "agent_failed"},
	{"null", "", `null`, "agent_failed"},
	{"null inside", "", `{"status":"success","result":null}`, "agent_failed"},
	{"empty string", "", `""`, "agent_failed"},
	{"blank string", "", `" \n"`, "agent_failed"},
	{"empty object", "", `{ }`, "agent_failed"},
	{"empty object inside", "", `{"result":{}}`, "agent_failed"},
	{"empty array stands", "", `[]`, `[]`},
	{"false stands", "", `false`, `false`},
	{"zero stands", "", `0`, `0`},
	{"null with a schema that takes it", `{"type":["null","object"]}`, `null`, `null`},
	{"null with a schema", heading, `null`, "invalid_result"},
	{"missing with a schema", heading, ``, "invalid_result"},
	{"empty string with a schema", heading, `""`, "invalid_result"},
	{"text with a schema", heading, `"Hello"`, "invalid_result"},
	{"words are not guessed at", "", `"I was unable to find it: error, failed"`, `"I was unable to find it: error, failed"`},

	{"failed status", "", `{"status":"failed","result":"x"}`, "agent_failed"},
	{"status in another case", "", `{"status":" Failure ","result":"x"}`, "agent_failed"},
	{"success false", "", `{"success":false,"result":"x"}`, "agent_failed"},
	{"error text", "", `{"error":"no such page","result":"x"}`, "agent_failed"},
	{"error object", "", `{"error":{"message":"no such page"},"result":null}`, "agent_failed"},
	{"empty errors", "", `{"error":" ","result":"x"}`, `"x"`},
	{"error false", "", `{"error":false,"result":"x"}`, `"x"`},
	{"empty error object", "", `{"error":{},"result":"x"}`, `"x"`},
	{"failed inside", "", `{"status":"success","result":{"status":"error","result":"x"}}`, "agent_failed"},
	{"failed with an answer that fits", heading, `{"status":"failed","result":{"heading":"Hello"}}`, `{"heading":"Hello"}`},
	{"failed with an answer that does not fit", heading, `{"status":"failed","result":{"head":"Hello"}}`, "agent_failed"},
	{"failed without a result", "", `{"status":"failed","message":"no such page"}`, "agent_failed"},
	{"failed without a result, with a schema", heading, `{"status":"failed","message":"no such page"}`, "agent_failed"},
	{"a schema with a status of its own", `{"required":["status"]}`, `{"status":"failed","message":"m"}`, `{"status":"failed","message":"m"}`},

	{"step limit", "", `"Task completed (max steps reached)"`, "step_limit"},
	{"step limit in other case", "", `" task completed (MAX steps reached)\n"`, "step_limit"},
	{"step limit in an envelope", "", `{"status":"success","result":"Task completed (max steps reached)","steps":40}`, "step_limit"},
	{"step limit in a failed envelope", "", `{"status":"failed","result":"Task completed (max steps reached)"}`, "step_limit"},
	{"step limit as an envelope's error", "", `{"error":"Maximum number of steps exceeded","result":null}`, "step_limit"},
	{"step limit where a string is wanted", `{"type":"string"}`, `"Task completed (max steps reached)"`, "step_limit"},
	{"step limit in quotes", `{"type":"string"}`, `"\"Task completed (max steps reached)\""`, "step_limit"},
	{"step limit in a sentence", "", `"The log said: Task completed (max steps reached)"`, `"The log said: Task completed (max steps reached)"`},
}

func TestResultsAreUnwrappedAndJudged(t *testing.T) {
	for _, tc := range shapes {
		t.Run(tc.name, func(t *testing.T) {
			request := with(`"model":"m"`)
			if tc.schema != "" {
				request = schemaRequest(tc.schema)
			}
			v := judge(t, parse(t, request), completed(tc.result))
			checkVerdict(t, v, tc.result, tc.want)
		})
	}
}

func TestOutcomesThatBringNoAnswer(t *testing.T) {
	workflow := func(status, words string) task.Outcome {
		return task.Outcome{Workflow: task.Workflow{Status: status, Error: words}}
	}
	r := parse(t, with(`"timeout":"90s"`))
	for _, tc := range []struct {
		name    string
		outcome task.Outcome
		code    task.Code
		message string
	}{
		{"failed", workflow("FAILED", "the page is gone"), task.WorkflowFailed, "the workflow failed: the page is gone"},
		{"failed without words", workflow("FAILED", ""), task.WorkflowFailed, "the workflow failed"},
		{"failed by the step limit", workflow("FAILED", " maximum number of steps exceeded "), task.StepLimit, "stopped by max_steps:  maximum number of steps exceeded "},
		{"failed by something like it", workflow("FAILED", "Maximum number of steps exceeded?"), task.WorkflowFailed, "the workflow failed: Maximum number of steps exceeded?"},
		{"canceled", workflow("CANCELED", ""), task.WorkflowFailed, "the workflow ended as CANCELED"},
		{"canceled with two l", workflow("CANCELLED", ""), task.WorkflowFailed, "the workflow ended as CANCELLED"},
		{"terminated", workflow("TERMINATED", "by an operator"), task.WorkflowFailed, "the workflow ended as TERMINATED: by an operator"},
		{"timed out there", workflow("TIMED_OUT", ""), task.WorkflowFailed, "the workflow ended as TIMED_OUT"},
		{"timed out here", task.Outcome{Workflow: task.Workflow{Status: "RUNNING"}, TimedOut: true}, task.Timeout, "did not finish within 1m30s"},
		{"lost", task.Outcome{Workflow: task.Workflow{Status: "RUNNING"}, Lost: true}, task.WorkflowLost, "the API no longer knows the workflow"},
		{"too large", task.Outcome{TooLarge: true}, task.InvalidResult, "the answer is too large to be read"},
	} {
		v := judge(t, r, tc.outcome)
		if v.Error == nil || v.Error.Code != tc.code || v.Error.Message != tc.message || v.Result != nil || v.RawResult != nil {
			t.Errorf("%s: got %+v, %+v, want %s: %s", tc.name, v, v.Error, tc.code, tc.message)
		}
	}
}

func TestATaskThatCapstanEndsSaysWhatBecameOfItsSession(t *testing.T) {
	r := parse(t, with(`"timeout":"90s"`))
	ended := &task.SessionEnd{Confirmed: true, Steps: new(3)}
	open := &task.SessionEnd{Why: "503: busy"}
	c := task.ParseCancellation([]byte("wrong customer"))
	for message, o := range map[string]task.Outcome{
		"canceled: wrong customer; its workflow may run on":                                                                           {Canceled: &c},
		"canceled: wrong customer; its browser session was ended, and the agent had taken 3 steps in it":                              {Canceled: &c, Session: ended},
		"canceled: wrong customer; its browser session could not be ended and ends by itself: 503: busy":                              {Canceled: &c, Session: open},
		"did not finish within 1m30s; the last answer was: 502":                                                                       {TimedOut: true, LastError: "502"},
		"did not finish within 1m30s; its browser session was ended, and the agent had taken 3 steps in it":                           {TimedOut: true, Session: ended},
		"did not finish within 1m30s; its browser session could not be ended and ends by itself: 503: busy":                           {TimedOut: true, Session: open},
		"did not finish within 1m30s; its browser session could not be ended and ends by itself: 503: busy; the last answer was: 502": {TimedOut: true, Session: open, LastError: "502"},
	} {
		code := task.Timeout
		if o.Canceled != nil {
			code = task.Canceled
		}
		o.Status = "RUNNING"
		if v := judge(t, r, o); v.Error == nil || v.Error.Code != code || v.Error.Message != message {
			t.Errorf("got %+v, want %s: %s", v.Error, code, message)
		}
	}
	// It is Capstan that has ended the session.
	if v := judge(t, r, task.Outcome{Workflow: task.Workflow{Status: "FAILED", Error: "session ended"}, TimedOut: true, Session: ended}); v.Error.Code != task.Timeout {
		t.Errorf("got %+v, want a timeout", v.Error)
	}
}

func TestAFailedWorkflowKeepsItsResult(t *testing.T) {
	v := judge(t, parse(t, with(`"model":"m"`)), task.Outcome{Workflow: task.Workflow{Status: "FAILED", Result: json.RawMessage(`{"a":1}`)}})
	if got, want := string(v.RawResult), `{"a":1}`; got != want || v.Result != nil {
		t.Errorf("got result %s and raw %s, want only raw %s", v.Result, got, want)
	}
}

func TestAResultThatIsNotJSONIsText(t *testing.T) {
	v := judge(t, parse(t, with(`"model":"m"`)), completed("<html>\xff"))
	if !json.Valid(v.Result) || !strings.Contains(string(v.Result), "<html>") {
		t.Errorf("got %s, want a JSON string", v.Result)
	}
}

func TestLongMessagesAreTruncatedAfterRedaction(t *testing.T) {
	r := parse(t, with(`"secret_values":{"PIN":"hunter2x"}`))
	const before = len("the workflow failed: ")
	for shift := range 12 {
		words := strings.Repeat("é", (2048-before)/2-5) + strings.Repeat("-", shift) + "hunter2x" + strings.Repeat("z", 1000)
		v := judge(t, r, task.Outcome{Workflow: task.Workflow{Status: "FAILED", Error: words}})
		if strings.Contains(v.Error.Message, "hu") || len(v.Error.Message) > 2048+len("…") {
			t.Errorf("got %d bytes that end in %q", len(v.Error.Message), v.Error.Message[2000:])
		}
	}
}

func FuzzJudge(f *testing.F) {
	for _, seed := range []string{
		`{"status":"success","result":{"result":"{\"a\":1}"}}`, "\"```json\\n{}\\n```\"", `null`, ``, `[1e999999]`,
		`{"result":{"result":{"result":{"result":null}}}}`, `"\"\\\"x\\\"\""`, "\xff",
	} {
		for _, schema := range []string{``, `{}`, `{"type":"string"}`, `{"properties":{"result":{"type":"integer"}}}`, `{"items":{"$ref":"#"},"pattern":"a(?!b)"}`} {
			f.Add([]byte(seed), schema, "COMPLETED", "")
		}
		f.Add([]byte(seed), ``, "FAILED", "Maximum number of steps exceeded")
	}
	f.Fuzz(func(t *testing.T, result []byte, schema, status, words string) {
		r := &task.Request{Timeout: time.Minute}
		if schema != "" {
			r.OutputSchema = json.RawMessage(schema)
		}
		v := judge(t, r, task.Outcome{Workflow: task.Workflow{Status: status, Result: result, Error: words}})
		if (v.Error == nil) != (v.Result != nil) {
			t.Fatalf("got result %s with error %v", v.Result, v.Error)
		}
		if _, err := json.Marshal(task.Event{Result: v.Result, RawResult: v.RawResult, Error: v.Error}); err != nil {
			t.Fatalf("the event cannot be encoded: %v", err)
		}
	})
}
