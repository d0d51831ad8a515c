package dashboard_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/dashboard"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

const liveView = "https://live.example/?sessionId=s-1&read_only=true"

// everywhere are the addresses at which a task is shown, apart from its page.
func everywhere(id string) []string {
	return []string{"/", "/tasks", "/batches", "/batches/night", "/dead-letters", "/redrive?batch=night", "/cancel?task=" + id, "/tasks/" + id + "/record", "/tasks/" + id + "/event"}
}

func TestOnlyVisitorsWhoHaveLoggedInGetTheLiveView(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	s.record(task.Record{TaskID: "runs", State: task.Running, Batch: "night", SessionID: "s-1", LiveView: liveView})
	anonymous := newClient(t)
	s.logIn()
	const link = `<a class="button" href="https://live.example/?sessionId=s-1&amp;read_only=true" target="_blank" rel="noopener noreferrer">Live view</a>`
	s.eventually("/tasks/runs", link, "s-1")
	if got := s.get("/tasks/runs").header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; script-src 'self';") {
		t.Errorf("got the policy %q, want it as strict as on other pages", got)
	}
	for _, path := range everywhere("runs") {
		if got := s.get(path).body; strings.Contains(got, "live.example") {
			t.Errorf("%s: got %s, want it without the link", path, got)
		}
	}
	open := s.open("/live/tasks/runs")
	open.await(t, link)

	s.client = anonymous
	for _, path := range append(everywhere("runs"), "/tasks/runs", "/live/tasks/runs") {
		if got := s.get(path); strings.Contains(got.body, "live.example") || got.code == http.StatusOK {
			t.Errorf("%s: got %d, %s, want the login", path, got.code, got.body)
		}
	}
	if strings.Contains(s.log.String(), "live.example") {
		t.Errorf("got the log %s, want it without the link", s.log)
	}
}

func TestTheLiveViewEndsWithTheTask(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	s.logIn()
	s.record(task.Record{TaskID: "runs", State: task.Running, SessionID: "s-1", LiveView: liveView})
	s.eventually("/tasks/runs", "Live view")
	open := s.open("/live/tasks/runs")
	open.await(t, "Live view")
	s.finish(task.Record{TaskID: "runs", LiveView: liveView}, task.Event{Result: json.RawMessage(`1`)}) // which no worker keeps
	open.await(t, "event: end")
	for _, text := range []string{s.get("/tasks/runs").body, s.get("/tasks/runs/record").body, last(open)} {
		if strings.Contains(text, "live.example") || strings.Contains(text, "Live view") {
			t.Errorf("got %s, want it without the link", text)
		}
	}
}

// last returns the last update of an open page.
func last(e events) string {
	text := e.String()
	return text[strings.LastIndex(text, "event: message"):]
}

func TestWithoutATokenNobodyGetsTheLiveView(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.record(task.Record{TaskID: "runs", State: task.Running, Batch: "night", SessionID: "s-1", LiveView: liveView})
	s.eventually("/tasks/runs", "runs has run since")
	open := s.open("/live/tasks/runs")
	open.await(t, "runs has run since")
	for _, path := range append(everywhere("runs"), "/tasks/runs") {
		if got := s.get(path).body; strings.Contains(got, "live.example") || strings.Contains(got, "Live view") {
			t.Errorf("%s: got %s, want it without the link", path, got)
		}
	}
	if strings.Contains(open.String(), "live.example") {
		t.Errorf("got %s, want it without the link", open)
	}
}

// A page that is open in another tab must not go on with what only visitors may see.
func TestAnOpenPageEndsWithTheLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	s.logIn()
	s.record(task.Record{TaskID: "runs", State: task.Running})
	s.eventually("/tasks/runs", "runs has run since")
	open := s.open("/live/tasks/runs")
	open.await(t, "runs has run since")
	s.post("/logout")
	s.record(task.Record{TaskID: "runs", State: task.Running, LiveView: liveView})
	natstest.Eventually(t, func() error {
		select {
		case <-open.ended:
			return nil
		default:
			return errors.New("got a page that is kept up to date, want it to end with the login")
		}
	})
	if strings.Contains(open.String(), "live.example") {
		t.Errorf("got %s, want nothing after the visitor has logged out", open)
	}
}

// Whoever may write a record can put any text there.
func TestOnlyALinkToAWebPageIsALink(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		liveView:                        liveView,
		"http://127.0.0.1:9/live":       "http://127.0.0.1:9/live",
		"HTTPS://live.example/":         "https://live.example/",
		"https://live.example/\u202ex":  "https://live.example/%E2%80%AEx",
		`https://live.example/"><b>`:    "https://live.example/%22%3E%3Cb%3E",
		"":                              "",
		"javascript:alert(1)":           "",
		"JavaScript://live.example/%0a": "",
		"data:text/html,x":              "",
		"//live.example/":               "",
		"/tasks":                        "",
		"live.example":                  "",
		"https:live.example":            "",
		"https:///x":                    "",
		"ftp://live.example/":           "",
		"\thttps://live.example/":       "",
		"https://live.example/\n":       "",
		"https://anchor@evil.example/":  "",
		"https://live.example/" + strings.Repeat("x", 5000): "",
	} {
		if got := dashboard.WebLink(link); got != want {
			t.Errorf("%.60q: got %q, want %q", link, got, want)
		}
	}
	s := newSite(t, token)
	s.logIn()
	s.record(task.Record{TaskID: "evil", State: task.Running, LiveView: "javascript:alert(1)"})
	s.eventually("/tasks/evil", "evil has run since")
	if got := s.get("/tasks/evil").body; strings.Contains(got, "Live view") || strings.Contains(got, "alert(1)") {
		t.Errorf("got %s, want no link", got)
	}
}
