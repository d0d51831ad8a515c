package anchortest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// ask makes a call without a network, so that the time can be fake. It returns the status and the data of the answer.
func ask(t *testing.T, s *anchortest.Server, method, target, body string) (status int, data map[string]any) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	req.Header.Set("Anchor-Api-Key", s.Key())
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	var answer struct {
		Data, Error map[string]any
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s %s: got %d %s: %v", method, target, w.Code, w.Body, err)
	}
	if w.Code != http.StatusOK {
		return w.Code, answer.Error
	}
	return w.Code, answer.Data
}

// open creates a session and returns its id.
func open(t *testing.T, s *anchortest.Server, body string) string {
	t.Helper()
	status, data := ask(t, s, "POST", "/v1/sessions", body)
	id, _ := data["id"].(string)
	if status != 200 || id == "" {
		t.Fatalf("got %d %v, want a session", status, data)
	}
	return id
}

// stateOf returns the state of a session, or "404".
func stateOf(t *testing.T, s *anchortest.Server, id string) string {
	t.Helper()
	status, data := ask(t, s, "GET", "/v1/sessions/"+id, "")
	if status != 200 {
		return fmt.Sprint(status)
	}
	return fmt.Sprint(data["status"])
}

// run submits a task and returns the status of the answer and the id of the workflow.
func run(t *testing.T, s *anchortest.Server, prompt, sessionID string) (status int, id string) {
	t.Helper()
	target := webTask
	if sessionID != "" {
		target += "?sessionId=" + sessionID
	}
	status, data := ask(t, s, "POST", target, body(prompt))
	id, _ = data["workflow_id"].(string)
	return status, id
}

// workflowState returns the state of a workflow, and its error if it has one.
func workflowState(t *testing.T, s *anchortest.Server, id string) string {
	t.Helper()
	_, data := ask(t, s, "GET", webTask+"/"+id+"/status", "")
	if data["error"] != nil {
		return fmt.Sprint(data["status"], ": ", data["error"])
	}
	return fmt.Sprint(data["status"])
}

func TestASessionIsABrowserUntilItEnds(t *testing.T) {
	t.Parallel()
	s := anchortest.New(anchortest.WithMaxRunning(2), planned(anchortest.Plan{Block: true}))
	first := open(t, s, `{"session":{"tags":["a"]}}`)
	if status, _ := run(t, s, "x", ""); status != 200 {
		t.Fatalf("the second browser: got %d, want 200", status)
	}
	for _, c := range []struct{ target, body string }{{"/v1/sessions", ""}, {webTask, body("y")}} {
		if status, _ := ask(t, s, "POST", c.target, c.body); status != 429 {
			t.Errorf("%s: got %d of a third browser, want 429", c.target, status)
		}
	}
	if status, data := ask(t, s, "DELETE", "/v1/sessions/"+first, ""); status != 200 || data["status"] != "success" {
		t.Errorf("got %d %v, want success", status, data)
	}
	if got := stateOf(t, s, first); got != "completed" {
		t.Errorf("got %s of a session that was ended, want completed", got)
	}
	if status, _ := run(t, s, "y", ""); status != 200 {
		t.Errorf("got %d after a browser was freed, want 200", status)
	}
	s.ReleaseAll()
	if _, data := ask(t, s, "GET", "/v1/sessions/all/status", ""); data["count"] != 0.0 {
		t.Errorf("got %v, want no session: those that tasks started end with them", data)
	}
}

func TestATaskInASessionTakesNoOtherBrowser(t *testing.T) {
	t.Parallel()
	s := anchortest.New(anchortest.WithMaxRunning(1), planned(anchortest.Plan{Block: true}),
		anchortest.WithStartRate(anchortest.StartRate{Quota: 1, Window: time.Hour}),
		anchortest.WithSessions(func(string) bool { return false }))
	id := open(t, s, "")
	status, workflow := run(t, s, "x", id)
	if status != 200 {
		t.Fatalf("got %d, want 200", status)
	}
	if got := workflowState(t, s, workflow); got != "RUNNING" {
		t.Errorf("got %s, want RUNNING", got)
	}
	_, data := ask(t, s, "GET", "/v1/sessions/"+id, "")
	if data["steps"] != 1.0 {
		t.Errorf("got %v, want a step", data)
	}
	if status, _ := ask(t, s, "DELETE", "/v1/sessions/"+id, ""); status != 200 {
		t.Fatalf("end: got %d, want 200", status)
	}
	if got, want := workflowState(t, s, workflow), "FAILED: the browser session has ended"; got != want {
		t.Errorf("got %s after the session's end, want %s", got, want)
	}
	s.ReleaseAll() // must not end the workflow twice
	for _, gone := range []string{id, "nobody"} {
		if status, _ := run(t, s, "y", gone); status != 403 {
			t.Errorf("got %d for a task in the session %s, want 403", status, gone)
		}
	}
}

func TestASessionEndsByItself(t *testing.T) {
	for name, c := range map[string]struct {
		timeouts string
		task     bool
		want     time.Duration // 0: never
	}{
		"idle, by default":             {`{}`, false, 5 * time.Minute},
		"idle":                         {`{"idle_timeout":2}`, false, 2 * time.Minute},
		"longest duration, by default": {`{"idle_timeout":-1}`, false, 20 * time.Minute},
		"longest duration":             {`{"max_duration":1}`, false, time.Minute},
		"with a task that runs":        {`{"idle_timeout":1,"max_duration":60}`, true, 11 * time.Minute},
		"never":                        {`{"idle_timeout":-1,"max_duration":-1}`, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := anchortest.New(planned(anchortest.Plan{Run: 10 * time.Minute}))
				defer s.Close()
				id := open(t, s, `{"session":{"timeout":`+c.timeouts+`}}`)
				if c.task {
					_, _ = run(t, s, "x", id)
				}
				ended := c.want
				if c.want == 0 {
					ended = 1000 * time.Hour
				}
				<-time.After(ended - time.Second)
				if got := stateOf(t, s, id); got != "running" {
					t.Errorf("got %s before the time is up, want running", got)
				}
				<-time.After(2 * time.Second)
				want := "completed"
				if c.want == 0 {
					want = "running"
				}
				if got := stateOf(t, s, id); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		})
	}
}

func TestUnknownSessionsAreAnsweredAsDocumented(t *testing.T) {
	t.Parallel()
	s := anchortest.New()
	for method, want := range map[string]int{"GET": 404, "DELETE": 401} {
		if status, data := ask(t, s, method, "/v1/sessions/nobody", ""); status != want {
			t.Errorf("%s: got %d %v, want %d", method, status, data, want)
		}
	}
}

func TestTheRequestOfASessionIsChecked(t *testing.T) {
	t.Parallel()
	s := anchortest.New()
	for body, want := range map[string]string{
		`{`:                           "the body is not a JSON object",
		`[]`:                          "the body is not a JSON object",
		`{"nope":1}`:                  "nope is not a documented field",
		`{"prompt":"x","session":{}}`: "prompt is not a documented field",
		`{"session":{"tags":"a"}}`:    "session.tags must not be of the type string",
		`{"session":{"timeout":{"max_duration":"5"}}}`:   "max_duration must not be of the type string",
		`{"session":{"timeout":{"idle_timeout":0}}}`:     "session.timeout.idle_timeout must be -1 or at least 1 minute",
		`{"browser":{"captcha_solver":{"active":true}}}`: "CAPTCHA solver requires proxy to be active",
	} {
		status, data := ask(t, s, "POST", "/v1/sessions", body)
		if message, _ := data["message"].(string); status != 400 || !strings.Contains(message, want) {
			t.Errorf("%s: got %d %v, want 400 and %s", body, status, data, want)
		}
	}
	if _, data := ask(t, s, "GET", "/v1/sessions/all/status", ""); data["count"] != 0.0 {
		t.Errorf("got %v, want no session", data)
	}
	_ = open(t, s, `{"session":{"proxy":{"active":true,"type":"anchor_proxy"}},"browser":{"captcha_solver":{"active":true},"new":1}}`)
}

func TestSessionsMeetTheRateAndTheFaults(t *testing.T) {
	t.Parallel()
	s := start(t, anchortest.WithStartRate(anchortest.StartRate{Quota: 1, Window: time.Hour}))
	_, _, header, err := call(t, s, "POST", "/v1/sessions", "")
	if err != nil || header.Get("RateLimit") != `"1-in-3600s"; r=0; t=3600` {
		t.Errorf("got %v, %v, want what remains", header, err)
	}
	status, _, header, err := call(t, s, "POST", "/v1/sessions", "")
	if err != nil || status != 429 || header.Get("Retry-After") != "3600" {
		t.Errorf("got %d %v, %v, want 429", status, header, err)
	}
	lost := anchortest.Chance{Probability: 1, Fault: anchortest.Reset().ButAccepted()}
	broken := start(t, anchortest.WithRandomFaults(1, []anchortest.Chance{lost}, nil))
	if _, _, _, err := call(t, broken, "POST", "/v1/sessions", ""); err == nil {
		t.Error("got an answer, want a broken connection")
	}
	if _, data := ask(t, broken, "GET", "/v1/sessions/all/status", ""); data["count"] != 1.0 {
		t.Errorf("got %v, want the session whose answer was lost", data)
	}
	s.FailAll(anchortest.Answer(503))
	if status, _ := ask(t, s, "GET", "/v1/sessions", ""); status != 503 {
		t.Errorf("got %d in an outage, want 503", status)
	}
}
