package anchortest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

func script(t *testing.T, text string) *anchortest.Script {
	t.Helper()
	read, err := anchortest.ReadScript("s.json", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestAScriptDecidesByOrderAndPrompt(t *testing.T) {
	t.Parallel()
	rules := script(t, `
# The second task is limited twice.
{"task": 2, "submit": ["429", {"fault": "overloaded", "times": 2}, "ok", "500"]}
  // Prices are lost once.
{"prompt": "price", "submit": ["lost-answer"], "poll": ["500", "ok", {"status": 404, "times": -1}],
 "result": {"price": 1}}
{"prompt": "never", "ending": "failed"}
{"ending": "step-limit"}`)
	s := start(t, anchortest.WithScript(rules))
	if got := verdict(t, s, "first"); got != "200" {
		t.Errorf("got %s, want 200", got)
	}
	var second []string
	for range 4 {
		second = append(second, verdict(t, s, "second"))
	}
	if got, want := strings.Join(second, " "), "429 503 503 200"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := verdict(t, s, "the price of a rope") + " " + verdict(t, s, "the price of a rope"); got != "broken 200" {
		t.Errorf("got %s, want broken 200", got)
	}
	workflows := s.Log("the price of a rope").Workflows
	var polls []string
	for range 4 {
		_, answer, _ := statusCall(t, s, workflows[1])
		polls = append(polls, answer)
	}
	want := `{"error":{"code":500,"message":"Internal Server Error"}} {"data":{"result":{"price":1},"status":"COMPLETED"}} ` +
		`{"error":{"code":404,"message":"Not Found"}} {"error":{"code":404,"message":"Not Found"}}`
	if got := strings.Join(polls, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := poll(t, s, s.Log("first").Workflows[0]); !strings.Contains(got, "max steps reached") {
		t.Errorf("got %s, want the rule for all", got)
	}
	if got := strings.Join(rules.Unused(), " "); rules.Len() != 4 || got != "s.json:7" {
		t.Errorf("got %d rules and %s not met, want 4 and s.json:7", rules.Len(), got)
	}
}

func TestAScriptIsATimeline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := anchortest.New(anchortest.WithRunTime(1, anchortest.RunTime{Mean: time.Hour}), anchortest.WithScript(script(t,
			`{"task":1,"poll":[{"fault":"500","until":"2s"}],"interim":"QUEUED","run":"5s","error":"no page"}{"run":"0s"}`)))
		defer s.Close()
		_, id := run(t, s, "x", "")
		_, other := run(t, s, "y", "")
		var states []string
		for range 4 {
			<-time.After(1500 * time.Millisecond)
			status, data := ask(t, s, "GET", webTask+"/"+id+"/status", "")
			if status != 200 {
				states = append(states, "500")
				continue
			}
			states = append(states, fmt.Sprint(data["status"]))
		}
		if got, want := strings.Join(states, " "), "500 QUEUED QUEUED FAILED"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := workflowState(t, s, other); got != "COMPLETED" {
			t.Errorf("got %s of a task that runs for 0 s, want COMPLETED", got)
		}
	})
}

// A client that runs a failed task again submits the same prompt as another task.
func TestARuleCanBeForTheFirstTasksThatFitIt(t *testing.T) {
	t.Parallel()
	s := anchortest.New(anchortest.WithScript(script(t, `{"prompt":"x","times":2,"submit":["500"],"ending":"failed"}{"prompt":"x"}`)))
	var got []string
	for range 5 {
		status, id := run(t, s, "x", "")
		if status != 200 {
			got = append(got, "500")
			continue
		}
		got = append(got, workflowState(t, s, id))
	}
	want := "500, FAILED: The browser crashed, 500, FAILED: The browser crashed, COMPLETED"
	if got := strings.Join(got, ", "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestATaskWithoutARuleMayHaveItsOwnPlan(t *testing.T) {
	t.Parallel()
	s := start(t, anchortest.WithScript(script(t, `{"task":9}`)))
	if got := verdict(t, s, `x plan:{"submit":[{"status":422}]}`); got != "422" {
		t.Errorf("got %s, want the plan of the prompt", got)
	}
}

func TestMistakesInAScriptHaveFileAndLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                         "s.json:1: the file has no rule",
		"# only\n":                                 "s.json:1: the file has no rule",
		"\n{\"task\":1":                            "s.json:2: not JSON: the object does not end",
		"{\"task\":1}\n{\"task\" 1}":               "s.json:2: not JSON: ",
		"{\"task\":1}\n[1]":                        "s.json:2: a rule must be an object in braces (got [1])",
		"{\n\"tsk\":1}":                            `s.json:2: unknown member "tsk": did you mean task?`,
		"{\n\n\"task\":0}":                         "s.json:3: task must be a whole number from 1 on (got 0)",
		`{"task":"1"}`:                             `s.json:1: task must be a whole number from 1 on (got "1")`,
		`{"times":0}`:                              "s.json:1: times must be a whole number from 1 on (got 0)",
		`{"prompt":""}`:                            "s.json:1: prompt must be a text that is not empty",
		`{"state":1}`:                              "s.json:1: state must be a text that is not empty (got 1)",
		`{"block":"yes"}`:                          `s.json:1: block must be true or false (got "yes")`,
		`{"run":5}`:                                `s.json:1: run must be a duration such as "5s" (got 5)`,
		`{"run":"-5s"}`:                            `s.json:1: run must be a duration such as "5s" (got "-5s")`,
		`{"submit":"429"}`:                         `s.json:1: submit must be a list such as ["429","ok"] (got "429")`,
		"{\"submit\":[\"ok\",\n\"lost\"]}":         `s.json:2: submit: no fault has the name "lost": did you mean`,
		`{"submit":["step-limit"]}`:                `s.json:1: submit: step-limit is how a workflow ends: write "ending":"step-limit"`,
		`{"poll":["session-500"]}`:                 "s.json:1: poll: session-500 strikes calls about sessions, which are not part of a task",
		`{"submit":["poll-500"]}`:                  "s.json:1: submit: poll-500 strikes status calls: put it into poll",
		`{"poll":["lost-answer"]}`:                 "s.json:1: poll: lost-answer strikes submissions only",
		`{"poll":[7]}`:                             "s.json:1: poll: must be the name of a fault, or an object (got 7)",
		`{"poll":[{"statu":7}]}`:                   `s.json:1: poll: unknown field "statu"`,
		`{"poll":[{"status":"a"}]}`:                "s.json:1: poll: status must be a whole number (got a string)",
		`{"poll":[{"reset":1}]}`:                   "s.json:1: poll: reset must be true or false (got a number)",
		`{"poll":[{"header":1}]}`:                  "s.json:1: poll: header must be an object of texts (got a number)",
		`{"poll":[{"body":1}]}`:                    "s.json:1: poll: body must be a text (got a number)",
		`{"poll":[{"status":42}]}`:                 "s.json:1: poll: status must be from 200 to 599 (got 42)",
		`{"poll":[{"times":-2}]}`:                  "s.json:1: poll: times must be -1 for all calls, or a number of calls (got -2)",
		`{"poll":[{"size":-2}]}`:                   "s.json:1: poll: size must not be negative (got -2)",
		`{"poll":[{"after":"soon"}]}`:              `s.json:1: poll: before, after and until must be durations such as "1.5s"`,
		`{"poll":[{"after":"-1s"}]}`:               "s.json:1: poll: before, after and until must not be negative",
		`{"poll":[{"fault":1}]}`:                   "s.json:1: poll: fault must be the name of a fault (got 1)",
		`{"poll":[{"fault":"nope"}]}`:              `s.json:1: poll: no fault has the name "nope"`,
		`{"ending":"429"}`:                         "s.json:1: ending: 429 strikes calls: put it into submit or poll",
		`{"ending":"stop"}`:                        `s.json:1: ending: no fault has the name "stop"`,
		`{"ending":"failed","error":"x"}`:          "s.json:1: ending excludes result, error and state",
		`{"result":1,"error":"x"}`:                 "s.json:1: result and error exclude each other",
		`{"result":1,"state":"FAILED"}`:            "s.json:1: only a COMPLETED workflow has a result",
		`{"error":"x","state":"COMPLETED"}`:        "s.json:1: a COMPLETED workflow has no error",
		`{"task":1,"task":2}`:                      "s.json:1: not JSON: ",
		"{\"task\":0}\n{\"run\":1}\n":              "s.json:1: task must be a whole number from 1 on (got 0)\ns.json:2: run must be",
		`{"` + strings.Repeat("x", 1<<20) + `":1}`: "s.json:1: unknown member",
	} {
		_, err := anchortest.ReadScript("s.json", []byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), want) || len(err.Error()) > 1000 {
			t.Errorf("%.60s: got %v, want %s", text, err, want)
		}
	}
}

func FuzzReadScript(f *testing.F) {
	for _, seed := range []string{
		`{"task":1,"submit":["429",{"fault":"slow","after":"1s"}],"poll":["ok"],"ending":"stuck"}`, "# c\n{\"result\":[1]}\n//x\n[]", `{"submit":[[[`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := anchortest.ReadScript("s.json", text)
		if err == nil && read.Len() == 0 {
			t.Fatal("got no rule and no error")
		}
	})
}
