package anchortest_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// callLog collects calls.
type callLog struct {
	mu    sync.Mutex
	calls []anchortest.Call
}

func (l *callLog) add(c anchortest.Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
}

// last returns the latest call. The server logs a call after the client has its answer, so it waits for as many as there
// should be.
func (l *callLog) last(t *testing.T, count int) anchortest.Call {
	t.Helper()
	for t.Context().Err() == nil {
		l.mu.Lock()
		got := len(l.calls)
		l.mu.Unlock()
		if got >= count {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[len(l.calls)-1]
}

func TestEachCallIsLogged(t *testing.T) {
	t.Parallel()
	var log callLog
	lost := anchortest.Reset().ButAccepted()
	lost.Name = "lost"
	plans := map[string]anchortest.Plan{
		"good": {Run: time.Hour, Name: "slow"}, "lost": {Run: time.Hour, Submit: []anchortest.Fault{lost}},
		"hung": {Submit: []anchortest.Fault{{Reset: true}}}, "cut": {Submit: []anchortest.Fault{{Cut: true}}},
		"teapot": {Submit: []anchortest.Fault{anchortest.Answer(418)}},
	}
	s := start(t, anchortest.WithCallLog(log.add), anchortest.WithMaxRunning(3), anchortest.WithPlan(func(task anchortest.Task) anchortest.Plan {
		return plans[task.Prompt]
	}))
	for i, c := range []struct {
		method, target, body string
		status               int
		note, fault, task    string
	}{
		{"POST", webTask, body("good"), 200, "runs for 1h0m0s; browsers in use: 1 of 3", "slow", "good"},
		{"POST", webTask, body("lost"), 0, "connection reset, but workflow perform-web-task-execution-", "lost", "lost"},
		{"POST", webTask, body("hung"), 0, "connection reset", "", "hung"},
		{"POST", webTask, body("cut"), 200, "answer cut in the middle, but workflow", "", "cut"},
		{"POST", webTask, body("teapot"), 418, "", "", "teapot"},
		{"POST", webTask, `{"prompt":""}`, 400, "prompt is required", "", ""},
		{"POST", "/v1/sessions", "", 200, "is open; browsers in use: 3 of 3", "", ""},
		{"POST", webTask, body("more"), 429, "too many concurrent browsers", "", "more"},
		{"GET", webTask + "/nobody/status", "", 404, "no workflow with this id was started here", "", ""},
		{"GET", "/v1/billing", "", 200, "browsers in use: 3 of 3", "", ""},
		{"GET", "/v1/tools", "", 404, "the stand-in has no such call", "", ""},
		{"GET", "//v1/billing", "", 404, "the stand-in has no such call", "", ""},
		{"PATCH", "/v1/sessions", "", 404, "the stand-in has no such call", "", ""},
	} {
		before := time.Now()
		_, _, _, _ = call(t, s, c.method, c.target, c.body)
		got := log.last(t, i+1)
		if got.Method != c.method || got.Path != c.target || got.Status != c.status || !strings.Contains(got.Note, c.note) ||
			got.Fault != c.fault || got.Task != c.task || got.Began.Before(before) || got.Took <= 0 || (c.note == "") != (got.Note == "") {
			t.Errorf("%s %s %s: got %+v, want %+v", c.method, c.target, c.body, got, c)
		}
	}
	_, _, _, _ = call(t, s, "GET", webTask+"/"+s.Log("good").Workflows[0]+"/status", "")
	_, _, _, _ = call(t, s, "GET", "/_stand-in/totals", "") // is not logged
	if got := log.last(t, 14); got.Task != "good" || !strings.HasPrefix(got.Note, "runs for ") || got.Workflow != s.Log("good").Workflows[0] {
		t.Errorf("got %+v of a poll, want the task", got)
	}
	s.SetKey("new")
	_, _, _, _ = call(t, s, "GET", "/v1/billing", "")
	if got := log.last(t, 15); got.Status != 401 || !strings.Contains(got.Note, "the key in the header anchor-api-key is not the one") {
		t.Errorf("got %+v with another key, want what is wrong with it", got)
	}
}

// An answer of the API's own form would say that the API does not have the call, which nobody knows.
func TestUnknownCallsAreNotAnsweredInTheFormOfTheAPI(t *testing.T) {
	t.Parallel()
	status, answer, header, err := call(t, start(t), "POST", "/v1/sessions/x/goto", `{}`)
	want := `404 page not found: the stand-in for Anchor's API has no POST "/v1/sessions/x/goto"` + "\n"
	if err != nil || status != 404 || answer != want || header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("got %d %q %v, %v, want a text that names the call", status, answer, header, err)
	}
}
