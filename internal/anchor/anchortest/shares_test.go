package anchortest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

func faults(t *testing.T, text string) anchortest.Faults {
	t.Helper()
	f, err := anchortest.ParseFaults(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMistakesInFaultsAreAllNamed(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 1<<19)
	for text, want := range map[string]string{
		"los-answer:1%":                   `no fault has the name "los-answer": did you mean lost-answer?`,
		"poll-lost-answer:1%":             `no fault has the name "poll-lost-answer"`,
		"poll-step-limit:1%":              `no fault has the name "poll-step-limit"`,
		"reset":                           "reset needs a share, such as reset:1%",
		"reset:0.1":                       `the share of reset must be from 0% to 100% (got "0.1")`,
		"reset:-1%":                       `the share of reset must be from 0% to 100% (got "-1%")`,
		"reset:101%":                      "the share of reset must be from 0% to 100%",
		"reset:NaN%":                      "the share of reset must be from 0% to 100%",
		"200:1%":                          `a status must be from 400 to 599 (got "200")`,
		"reset:1%, reset:1%":              "reset is named twice",
		"reset:60%,hang:60%":              "the faults of submissions must have at most 100% together (got 120%)",
		"session-no-id:1%":                `no fault has the name "session-no-id"`,
		"session-failed:1%":               `no fault has the name "session-failed"`,
		"session-500:60%,session-404:60%": "the faults of calls about sessions must have at most 100% together",
		"poll-500:60%,poll-cut:60%":       "the faults of status calls must have at most 100% together",
		"failed:60%,stuck:60%":            "the faults of workflows must have at most 100% together",
		"x:1%,y":                          "no fault has the name \"y\"",
		long:                              "no fault has the name",
		"\x1b[2J:1%":                      `no fault has the name "\x1b[2J"`,
	} {
		_, err := anchortest.ParseFaults(text)
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 1000 {
			t.Errorf("%.40q: got %v, want %s", text, err, want)
		}
	}
	if f := faults(t, " lost-answer:1% ,, poll-500:100%, step-limit:0.5 %"); f.String() != "lost-answer:1%, poll-500:100%, step-limit:0.5 %" {
		t.Errorf("got %s", f)
	}
}

// seen returns what a client sees of a submission and of a poll of its workflow.
func seen(t *testing.T, s *anchortest.Server) string {
	t.Helper()
	status, answer, _, err := call(t, s, "POST", webTask, body("x"))
	submitted := fmt.Sprint(status)
	switch {
	case err != nil && status != 0:
		submitted = "cut"
	case err != nil:
		submitted = "broken"
	case status == 200 && !strings.Contains(answer, `"workflow_id"`):
		submitted = "no id"
	}
	workflows := s.Log("x").Workflows
	if len(workflows) == 0 {
		return submitted
	}
	status, answer, _, err = call(t, s, "GET", webTask+"/"+workflows[0]+"/status", "")
	if err != nil {
		return submitted + ", poll broken"
	}
	return fmt.Sprintf("%s, poll %d %s", submitted, status, answer)
}

func TestEachNamedFaultDoesWhatItSays(t *testing.T) {
	t.Parallel()
	const done = `{"data":{"result":"done","status":"COMPLETED"}}`
	for name, want := range map[string]string{
		"lost-answer": "broken, poll 200 " + done, "reset": "broken", "no-id": "no id, poll 200 " + done, "cut": "cut, poll 200 " + done,
		"garbage": "no id, poll 200 " + done, "html": "502", "overloaded": "503", "429": "429", "500": "500", "404": "404",
		"poll-reset": "200, poll broken", "poll-cut": "200, poll broken", "poll-500": `200, poll 500 {"error":{"code":500,`,
		"poll-429": "200, poll 429", "poll-html": "200, poll 502 <html>", "poll-overloaded": "200, poll 503", "poll-garbage": "200, poll 200 \x00",
		"failed":            `200, poll 200 {"data":{"error":"The browser crashed","status":"FAILED"}}`,
		"canceled":          `200, poll 200 {"data":{"error":"The workflow was canceled","status":"CANCELED"}}`,
		"step-limit":        `200, poll 200 {"data":{"result":"Task completed (max steps reached)","status":"COMPLETED"}}`,
		"step-limit-failed": `200, poll 200 {"data":{"error":"Maximum number of steps exceeded","status":"FAILED"}}`,
		"agent-failed":      `200, poll 200 {"data":{"result":{"status":"failed",`, "empty": `200, poll 200 {"data":{"result":"","status":"COMPLETED"}}`,
		"wrong-result": `200, poll 200 {"data":{"result":[null],`, "stuck": `200, poll 200 {"data":{"status":"RUNNING"}}`, "forgotten": `200, poll 404 {"error"`,
	} {
		s := start(t, anchortest.WithFaults(1, faults(t, name+":100%")))
		if got := seen(t, s); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	for _, named := range anchortest.NamedFaults() {
		if f := faults(t, named.Name+":1%"); named.About == "" || (named.Fault == nil) == (named.Ending == nil) || f.String() == "" {
			t.Errorf("%+v: want either a fault or an ending, and what it does", named)
		}
	}
}

func TestASlowAnswerAndOneThatHangs(t *testing.T) {
	t.Parallel()
	for _, named := range anchortest.NamedFaults() {
		switch {
		case named.Name == "slow" && (named.Fault.After <= 0 || named.Fault.Status != 0):
			t.Errorf("slow: got %+v, want a delay before the normal answer", named.Fault)
		case named.Name == "hang" && (!named.Fault.Hang || !named.Fault.Accepted):
			t.Errorf("hang: got %+v, want an accepted call without an answer", named.Fault)
		}
	}
}

func TestEndingsHaveTheirShare(t *testing.T) {
	t.Parallel()
	s := anchortest.New(anchortest.WithFaults(7, faults(t, "failed:25%,step-limit:25%")))
	count := map[string]int{}
	for range 400 {
		_, id := run(t, s, "x", "")
		_, data := ask(t, s, "GET", webTask+"/"+id+"/status", "")
		count[fmt.Sprint(data["status"], data["result"])]++
	}
	for _, ending := range []string{"FAILED<nil>", "COMPLETEDTask completed (max steps reached)"} {
		if n := count[ending]; n < 60 || n > 140 {
			t.Errorf("got %d times %s of 400, want about 100", n, ending)
		}
	}
	planOfOwn := anchortest.New(anchortest.WithFaults(7, faults(t, "failed:100%")), planned(anchortest.Plan{Result: []byte(`1`)}))
	_, id := run(t, planOfOwn, "x", "")
	if got := workflowState(t, planOfOwn, id); got != "COMPLETED" {
		t.Errorf("got %s, want the plan's own ending", got)
	}
}

func FuzzParseFaults(f *testing.F) {
	for _, seed := range []string{"lost-answer:1%,429:2%", "poll-500:1%", ":", ",,", "a:%", "reset:1e3%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := anchortest.ParseFaults(text)
		if err != nil {
			return
		}
		if again, err := anchortest.ParseFaults(parsed.String()); err != nil || again.String() != parsed.String() {
			t.Fatalf("got %v, %v from %s", again, err, parsed)
		}
	})
}
