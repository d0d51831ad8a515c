package hostile_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// together is a plan with which tasks end at the same time after their submission, with the fault as the answer.
func together(after time.Duration, f anchortest.Fault) anchortest.Plan {
	return anchortest.Plan{Poll: []anchortest.Fault{anchortest.State("RUNNING").During(after), f.Repeated(-1)}}
}

func TestLargeResultsThatEndTogether(t *testing.T) {
	heavy(t)
	attack{n: 40, answers: together(4*time.Second, anchortest.Large(8<<20)), want: []task.Code{""}, within: 4 * time.Minute}.run(t)
}

func TestTheLargestResultsThatEndTogether(t *testing.T) {
	heavy(t)
	attack{n: 100, answers: together(4*time.Second, anchortest.Large(32<<20)), want: []task.Code{""}, within: 10 * time.Minute}.run(t)
}

func TestManyResultsOfAMegabyteInChunks(t *testing.T) {
	heavy(t)
	attack{n: 200, answers: together(4*time.Second, anchortest.Fault{Size: 1 << 20, Chunked: true}), want: []task.Code{""}}.run(t)
}

func TestResultsThatAreTooLarge(t *testing.T) {
	heavy(t)
	for name, f := range map[string]anchortest.Fault{
		"with their length": {Size: 40 << 20}, "in chunks": {Size: 40 << 20, Chunked: true},
	} {
		t.Run(name, func(t *testing.T) {
			attack{n: 20, answers: together(2*time.Second, f), want: []task.Code{task.InvalidResult}}.run(t)
		})
	}
}

func TestLargeErrorsOfTheAPI(t *testing.T) {
	heavy(t)
	page := anchortest.Text(502, strings.Repeat("<b>bad gateway</b>", 1<<19))
	attack{
		n:       40,
		answers: anchortest.Plan{Poll: []anchortest.Fault{page.Repeated(3)}, State: "FAILED", Error: strings.Repeat("no such page ", 1<<19)},
		want:    []task.Code{task.WorkflowFailed},
	}.run(t)
}

// bomb returns an answer that is small until it is decompressed.
func bomb(t *testing.T, size int) anchortest.Fault {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for _, text := range []string{`{"data":{"status":"COMPLETED","result":"`, strings.Repeat("a", size), `"}}`} {
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return anchortest.Fault{Status: 200, Header: map[string]string{"Content-Encoding": "gzip"}, Body: packed.String()}
}

func TestAnswersThatGrowWhenTheyAreDecompressed(t *testing.T) {
	heavy(t)
	attack{n: 40, answers: together(2*time.Second, bomb(t, 300<<20)), want: []task.Code{task.InvalidResult}}.run(t)
}

func TestLargeHeadersOfAnswers(t *testing.T) {
	heavy(t)
	f := anchortest.Fault{Status: 404, Header: map[string]string{"X-Large": strings.Repeat("x", 8<<20), "Content-Type": "text/html"}}
	attack{n: 60, answers: anchortest.Plan{Poll: []anchortest.Fault{f.Repeated(2)}}, want: []task.Code{""}}.run(t)
}

func TestStatesThatAreLong(t *testing.T) {
	heavy(t)
	state := anchortest.State(strings.Repeat("ALMOST_", 1<<20)).Repeated(3)
	attack{n: 40, answers: anchortest.Plan{Poll: []anchortest.Fault{state}}, want: []task.Code{""}}.run(t)
}

func TestMalformedAndExtremeResults(t *testing.T) {
	heavy(t)
	nested := `"x"`
	for range 12 {
		nested = quote(`{"result":` + nested + `}`)
	}
	for name, c := range map[string]struct {
		result string
		want   []task.Code
	}{
		"deep arrays":          {strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000), []task.Code{"", task.AgentFailed, task.Timeout}},
		"9,000 levels":         {strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000), []task.Code{""}},
		"not UTF-8":            {`"` + strings.Repeat("\xff", 1<<20) + `"`, []task.Code{""}},
		"lone surrogates":      {`"` + strings.Repeat(`\ud83d`, 1<<17) + `"`, []task.Code{""}},
		"control characters":   {`"` + strings.Repeat(`\u0000`, 1<<17) + `"`, []task.Code{""}},
		"a long number":        {strings.Repeat("9", 1<<20), []task.Code{""}},
		"an enormous number":   {"1e400", []task.Code{""}},
		"many small members":   {"[" + strings.Repeat(`{"a":1},`, 1<<17) + "1]", []task.Code{""}},
		"JSON in JSON in JSON": {nested, []task.Code{""}},
		"many escapes":         {`"` + strings.Repeat(`\\\"`, 1<<18) + `"`, []task.Code{""}},
	} {
		t.Run(name, func(t *testing.T) {
			attack{n: 20, answers: anchortest.Plan{Result: json.RawMessage(c.result)}, want: c.want}.run(t, "TASK_TIMEOUT=20s")
		})
	}
}

func TestAnswersThatSwitchProtocols(t *testing.T) {
	heavy(t)
	attack{
		n: 20, answers: anchortest.Plan{Poll: []anchortest.Fault{anchortest.Switching().Repeated(2)}}, want: []task.Code{""},
		within: time.Minute,
	}.run(t, "ANCHORBROWSER_REQUEST_TIMEOUT=3s")
}

func TestSubmissionsThatSwitchProtocols(t *testing.T) {
	heavy(t)
	attack{
		n: 20, answers: anchortest.Plan{Submit: []anchortest.Fault{anchortest.Switching().Repeated(-1)}},
		want: []task.Code{task.SubmissionUnknown}, within: time.Minute,
	}.run(t, "ANCHORBROWSER_REQUEST_TIMEOUT=3s")
}

// The bytes after the end of an answer may contain anything, so they must not be logged.
func TestBytesAfterAnAnswerAreNotLogged(t *testing.T) {
	w := newWorld(t)
	const secret = "hunter2-after-the-answer"
	w.setPlan(attackPlan, anchortest.Plan{Poll: []anchortest.Fault{{Behind: "HTTP/1.1 200 OK\r\n\r\n" + secret}}})
	w.start()
	w.publish(request("a", attackPlan))
	for _, ev := range w.await(time.Minute) {
		ended(t, ev, "")
	}
	w.survived()
	if strings.Contains(logOf(t, w), secret) {
		t.Error("the log contains bytes from after the end of an answer")
	}
}
