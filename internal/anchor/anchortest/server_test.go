package anchortest_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

func TestWorkflowRunsAndEndsAsPlanned(t *testing.T) {
	t.Parallel()
	shape := regexp.MustCompile(`^perform-web-task-execution-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	for name, c := range map[string]struct {
		plan anchortest.Plan
		want string
	}{
		"completed":    {anchortest.Plan{}, `{"data":{"result":"done","status":"COMPLETED"}}`},
		"after a time": {anchortest.Plan{Run: 20 * time.Millisecond}, `{"data":{"result":"done","status":"COMPLETED"}}`},
		"not yet":      {anchortest.Plan{Run: time.Hour}, `{"data":{"status":"RUNNING"}}`},
		"not yet, in another state": {
			anchortest.Plan{Run: time.Hour, Interim: "QUEUED"}, `{"data":{"status":"QUEUED"}}`,
		},
		"with a result": {
			anchortest.Plan{Result: json.RawMessage(`{"a":[1]}`)}, `{"data":{"result":{"a":[1]},"status":"COMPLETED"}}`,
		},
		"null":     {anchortest.Plan{Result: json.RawMessage(`null`)}, `{"data":{"result":null,"status":"COMPLETED"}}`},
		"failed":   {anchortest.Plan{Error: "no"}, `{"data":{"error":"no","status":"FAILED"}}`},
		"canceled": {anchortest.Plan{State: "CANCELED"}, `{"data":{"error":"The plan says so","status":"CANCELED"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, planned(c.plan))
			status, id := submit(t, s, body("x"))
			if status != 200 || !shape.MatchString(id) {
				t.Fatalf("got %d and id %q", status, id)
			}
			if got := pollUntil(t, s, id, c.want); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestABlockedWorkflowRunsUntilItIsReleased(t *testing.T) {
	t.Parallel()
	s := start(t, planned(anchortest.Plan{Block: true}))
	_, first := submit(t, s, body("a"))
	_, other := submit(t, s, body("b"))
	if got := poll(t, s, first); !strings.Contains(got, "RUNNING") {
		t.Errorf("got %s before the release, want RUNNING", got)
	}
	s.Release("a")
	_, later := submit(t, s, body("a"))
	for _, id := range []string{first, later} {
		if got := poll(t, s, id); !strings.Contains(got, "COMPLETED") {
			t.Errorf("got %s after the release, want COMPLETED", got)
		}
	}
	if got := poll(t, s, other); !strings.Contains(got, "RUNNING") {
		t.Errorf("got %s of another task, want RUNNING", got)
	}
	if status, _, _, err := call(t, s, "PUT", "/_stand-in/release", ""); err != nil || status != 204 {
		t.Fatalf("release all: got %d %v, want 204", status, err)
	}
	_, unknown := submit(t, s, body("c"))
	for _, id := range []string{other, unknown} {
		if got := poll(t, s, id); !strings.Contains(got, "COMPLETED") {
			t.Errorf("got %s after all were released, want COMPLETED", got)
		}
	}
}

func TestBodyIsCheckedAsDocumented(t *testing.T) {
	t.Parallel()
	s := start(t)
	for name, body := range map[string]string{
		"not JSON":      `{`,
		"no prompt":     `{"async":true}`,
		"blank prompt":  `{"prompt":" ","async":true}`,
		"type":          `{"prompt":"x","async":true,"max_steps":"5"}`,
		"null":          `{"prompt":"x","async":true,"url":null}`,
		"agent":         `{"prompt":"x","async":true,"agent":"nobody"}`,
		"secret":        `{"prompt":"x","async":true,"secret_values":{"a":1}}`,
		"async":         `{"prompt":"x","async":"yes"}`,
		"unknown field": `{"prompt":"x","async":true,"task_id":"1"}`,
		"session":       `{"prompt":"x","async":true,"sessionId":"1"}`,
		"bad plan":      `{"prompt":"x plan:{\"nope\":1}","async":true}`,
	} {
		status, answer, _, err := call(t, s, "POST", webTask, body)
		if err != nil || status != 400 || !strings.HasPrefix(answer, `{"error":{"code":400,"message":"`) {
			t.Errorf("%s: got %d %s %v, want a documented 400", name, status, answer, err)
		}
	}
	full := `{"prompt":"x","url":"https://a.example","async":true,"agent":"yutori","provider":"xai","model":"m","detect_elements":false,
		"human_intervention":true,"max_steps":3,"secret_values":{"a":"b"},"highlight_elements":true,"output_schema":{},
		"use_vision":false,"directlyOpenUrl":true,"directly_open_url":false,"extended_system_message":"be brief"}`
	if status, _ := submit(t, s, full); status != 200 {
		t.Errorf("every field of the document and of the vendor's clients: got %d, want 200", status)
	}
}

func TestWrongKeyIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, id := submit(t, s, body("x"))
	s.SetKey("another")
	for _, c := range []struct{ method, target string }{
		{"POST", webTask},
		{"GET", webTask + "/" + id + "/status"},
		{"GET", "/v1/billing"},
		{"POST", "/v1/sessions"},
		{"GET", "/v1/sessions"},
		{"GET", "/v1/sessions/all/status"},
		{"GET", "/v1/sessions/x"},
		{"DELETE", "/v1/sessions/x"},
		{"DELETE", "/v1/sessions/all"},
	} {
		if status, _, _, err := call(t, s, c.method, c.target, body("y")); err != nil || status != 401 {
			t.Errorf("%s %s: got %d %v, want 401", c.method, c.target, status, err)
		}
	}
	if got := s.Accepted("y"); got != 0 {
		t.Errorf("got %d workflows, want none", got)
	}
}

func TestUnknownWorkflowIsNotFound(t *testing.T) {
	t.Parallel()
	status, _, _, err := call(t, start(t), "GET", webTask+"/nobody/status", "")
	if err != nil || status != 404 {
		t.Errorf("got %d %v, want 404", status, err)
	}
}

func TestARateLimitHasItsHeaders(t *testing.T) {
	t.Parallel()
	s := start(t, planned(anchortest.Plan{Submit: []anchortest.Fault{anchortest.RateLimited(58)}}))
	status, _, header, err := call(t, s, "POST", webTask, body("x"))
	if err != nil || status != http.StatusTooManyRequests {
		t.Fatalf("got %d %v, want 429", status, err)
	}
	for name, want := range map[string]string{"Retry-After": "58", "RateLimit": `"5-in-1min"; r=0; t=58`} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestConcurrentWorkflowsAreLimited(t *testing.T) {
	t.Parallel()
	s := start(t, anchortest.WithMaxRunning(1), anchortest.WithPlan(func(task anchortest.Task) anchortest.Plan {
		if task.Prompt == "long" {
			return anchortest.Plan{Run: time.Hour}
		}
		return anchortest.Plan{}
	}))
	for _, c := range []struct {
		prompt string
		want   int
	}{{"short", 200}, {"long", 200}, {"short", 429}} {
		if got, _ := submit(t, s, body(c.prompt)); got != c.want {
			t.Errorf("%s: got %d, want %d", c.prompt, got, c.want)
		}
	}
	_, bill, _, err := call(t, s, "GET", "/v1/billing", "")
	if err != nil || !strings.Contains(bill, `"max_concurrent_browsers":1`) {
		t.Errorf("got bill %s %v, want one browser", bill, err)
	}
}

func TestRestartKeepsTheTasks(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, id := submit(t, s, body("x"))
	addr := s.Addr()
	s.Close()
	if _, _, _, err := call(t, s, "GET", webTask+"/"+id+"/status", ""); err == nil {
		t.Error("got an answer of a closed server")
	}
	if err := s.Start(addr); err != nil {
		t.Fatalf("start again: %v", err)
	}
	pollUntil(t, s, id, "COMPLETED")
	if err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("got no error of a second Start")
	}
}
