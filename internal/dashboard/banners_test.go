package dashboard_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/dashboard"
	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/task"
)

// banners returns the banners of a page, each as it is written.
func (s *site) banners(path string) []string {
	s.t.Helper()
	_, all, _ := strings.Cut(s.get(path).body, `<div id="banners" data-part>`)
	all, _, _ = strings.Cut(all, `<div class="heading">`)
	return strings.Split(all, `<div class="banner`)[1:]
}

func TestWorkersThatWaitForTheSameHaveOneCalmBanner(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	now := time.Now().UTC()
	for i := range 10 {
		until := now.Add(time.Minute + time.Duration(i)*time.Second).Format(time.RFC3339)
		s.AnswerAsWorker(fleet.Status{Worker: fmt.Sprint("w", i), Polls: "ok", Submissions: "waiting until " + until + " at most: the API accepts no more submissions now"})
	}
	s.eventually("/", "Submissions wait on all 10 workers until", "There is nothing to do")
	for _, path := range []string{"/", "/batches/night"} {
		if got := s.banners(path); len(got) != 1 || !strings.HasPrefix(got[0], `">`) {
			t.Errorf("%s: got %d banners, %s\nwant a calm one", path, len(got), got)
		}
	}
	if got := s.get("/").body; strings.Contains(got, `class="badge bad"`) || !strings.Contains(got, `<span class="badge idle">waiting</span>`) {
		t.Errorf("got %s, want the workers without alarm", got)
	}
}

func TestAPauseThatNeedsAPersonIsRedAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	until := time.Now().UTC().Add(time.Minute).Format(time.RFC3339)
	s.AnswerAsWorker(fleet.Status{Worker: "w1", Submissions: "paused until " + until + ": unauthorized", Polls: "paused until " + until + ": unauthorized"})
	s.AnswerAsWorker(fleet.Status{Worker: "w2", Submissions: "paused until a probe is answered: rate_limited", Polls: "ok"})
	s.AnswerAsWorker(fleet.Status{Worker: "w3", Submissions: "ok", Polls: "paused until " + until + ": proxy_login"})
	s.eventually("/", "paused on w1 until", "paused on w2:", "Polls are paused on w3")
	got := s.banners("/")
	if len(got) != 3 {
		t.Fatalf("got %d banners, %s, want one for each reason", len(got), got)
	}
	for i, want := range []struct{ class, text string }{
		{` bad">`, "Put a valid one into the workers&#39; secret"}, {` bad">`, "HTTPS_PROXY asks for a login"}, {`">`, "The plan is full"},
	} {
		if !strings.HasPrefix(got[i], want.class) || !strings.Contains(got[i], want.text) {
			t.Errorf("banner %d: got %s, want the class %s and %q", i, got[i], want.class, want.text)
		}
	}
}

// A pause that ends by itself needs nobody; one without an end does.
func TestOnlyAPauseWithoutAnEndIsRed(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	s.logIn()
	s.post("/pause", "for", "1h")
	s.eventually("/", "Submissions resume when the pause ends, or when somebody resumes them.", "Resume…")
	if got := s.banners("/"); len(got) != 1 || strings.HasPrefix(got[0], " bad") {
		t.Errorf("with an end: got %s, want a calm banner", got)
	}
	s.post("/pause")
	s.eventually("/", "Submissions stay paused until somebody resumes them.")
	if got := s.banners("/"); len(got) != 1 || !strings.HasPrefix(got[0], " bad") {
		t.Errorf("without an end: got %s, want a red banner", got)
	}
}

func TestTasksWithoutAWorkerHaveABanner(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	s.serve(dashboard.Config{Addr: "127.0.0.1:0"}, func(d *dashboard.Server) { d.SetPatience(time.Second) })
	s.eventually("/", "No worker answers.")
	old := time.Now().UTC().Add(-2 * time.Minute)
	s.record(task.Record{TaskID: "ended", State: task.Succeeded, UpdatedAt: old})
	s.eventually("/tasks", "1 task<")
	if got := s.banners("/"); len(got) != 0 {
		t.Errorf("no open task: got %s, want no banner", got)
	}
	s.request("waits", `"batch":"night"`)
	s.eventually("/", ` bad">`, "No worker answers: 1 task waits.", "Start a worker.")
	s.eventually("/batches/night", "No worker answers: 1 task waits.")
	s.Put("task_control", "pause", `{"until":"`+time.Now().UTC().Add(time.Hour).Format(time.RFC3339)+`"}`)
	s.eventually("/", "Submissions are paused until")
	if got := s.banners("/"); len(got) != 2 || strings.Contains(strings.Join(got, ""), ` bad">`) {
		t.Errorf("paused: got %s, want calm banners", got)
	}
	s.record(task.Record{TaskID: "runs", State: task.Running, Batch: "night", UpdatedAt: old})
	s.eventually("/", ` bad">`, "No worker answers: 1 task waits, and 1 task is in progress.")
	s.AnswerAsWorker(fleet.Status{Worker: "w1", Submissions: "ok", Polls: "ok"})
	s.eventually("/", `data-label="Worker"><span class="pieces">w1<`)
	if got := strings.Join(s.banners("/"), ""); strings.Contains(got, "No worker answers") {
		t.Errorf("with a worker: got %s, want no such banner", got)
	}
}
