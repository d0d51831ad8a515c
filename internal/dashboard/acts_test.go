package dashboard_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// noticeAfter follows the redirect of an act and returns the page that says what was done.
func (s *site) noticeAfter(act answer) string {
	s.t.Helper()
	if act.code != http.StatusSeeOther {
		s.t.Fatalf("got %d, %s, want a redirect", act.code, act.body)
	}
	return s.get(act.header.Get("Location")).body
}

// logged waits until the log has a line with all of these texts.
func (s *site) logged(wants ...string) {
	s.t.Helper()
	for line := range strings.Lines(s.log.String()) {
		missing := 0
		for _, want := range wants {
			if !strings.Contains(line, want) {
				missing++
			}
		}
		if missing == 0 {
			return
		}
	}
	s.t.Errorf("log: got %s\nwant a line with %q", s.log, wants)
}

func TestWithoutATokenNothingIsDone(t *testing.T) {
	t.Parallel()
	s := filledSite(t, "")
	for path, command := range map[string]string{
		"/pause": "capstan pause", "/resume": "capstan resume", "/cancel?task=runs": "capstan cancel runs",
		"/cancel?batch=night": "capstan cancel --batch night", "/redrive?code=step_limit": "capstan redrive --code step_limit",
	} {
		body := s.get(path).body
		if strings.Contains(body, "<form") || !strings.Contains(body, command) || !strings.Contains(body, "DASHBOARD_TOKEN") {
			t.Errorf("%s: got %s\nwant no form, and the command %s", path, body, command)
		}
	}
	for _, path := range []string{"/pause", "/resume", "/cancel", "/redrive", "/redrive/preview"} {
		got := s.post(path, "task", "runs")
		if got.code != http.StatusForbidden || !strings.Contains(got.body, "without DASHBOARD_TOKEN, so it only shows. Nothing was done.") {
			t.Errorf("POST %s: got %d, %s\nwant %d and why", path, got.code, got.body, http.StatusForbidden)
		}
	}
	if s.value("pause") != "" || s.value("cancel.runs") != "" {
		t.Error("got a pause or a cancellation, want none")
	}
}

func TestATaskIsCanceled(t *testing.T) {
	t.Parallel()
	s := filledSite(t, token)
	s.eventually("/cancel?task=runs", "The task runs. It ends at once", "Cancel 1 task")
	s.eventually("/cancel?task=good", "The task has ended, so this changes nothing.")
	s.eventually("/cancel?task=nobody", "There is no task with this id yet.")
	notice := s.noticeAfter(s.post("/cancel", "task", "runs", "reason", "wrong customer"))
	if want := "Task runs is canceled. It was running."; !strings.Contains(notice, want) {
		t.Errorf("got %s\nwant %s", notice, want)
	}
	if mark := s.value("cancel.runs"); !strings.Contains(mark, "wrong customer") || !strings.Contains(mark, "dashboard, from 127.0.0.1") {
		t.Errorf("got the mark %s, want the reason and who", mark)
	}
	s.logged("task canceled by a visitor", `"task":"runs"`, `"tasks":1`, `"remote":"127.0.0.1:`)
	s.eventually("/tasks/runs", "canceled by dashboard, from 127.0.0.1: wrong customer")
}

func TestABatchIsCanceledAfterSayingHowMany(t *testing.T) {
	t.Parallel()
	s := filledSite(t, token)
	s.eventually("/cancel?batch=night", "This ends 2 tasks: 1 queued, 0 waiting on workers, 1 running. 2 tasks had ended before.", "Cancel 2 tasks")
	notice := s.noticeAfter(s.post("/cancel", "batch", "night"))
	if want := "Batch night is canceled: 2 tasks will end, 2 had ended."; !strings.Contains(notice, want) {
		t.Errorf("got %s\nwant %s", notice, want)
	}
	if s.value("cancel-batch.night") == "" {
		t.Error("got no mark, want one")
	}
	s.logged("batch canceled by a visitor", `"batch":"night"`, `"tasks":2`)
}

func TestACancellationIsTakenBack(t *testing.T) {
	t.Parallel()
	s := filledSite(t, token)
	s.eventually("/cancel/undo?task=queued", "Task queued is not canceled, so this changes nothing.")
	s.post("/cancel", "task", "queued", "reason", "wrong customer")
	s.eventually("/tasks/queued", "Take back the cancellation…", "/cancel/undo?task=queued")
	s.post("/cancel", "batch", "night", "reason", "wrong list")
	s.eventually("/tasks/queued", "Take back the cancellation of the batch…", "/cancel/undo?batch=night")
	s.eventually("/batches/night", "This batch is canceled by dashboard, from 127.0.0.1: wrong list.", "/cancel/undo?batch=night")
	s.eventually("/cancel/undo?task=queued", "Task queued is canceled by dashboard, from 127.0.0.1: wrong customer.", "it stays ended")
	s.eventually("/cancel/undo?batch=night", "Batch night is canceled by dashboard, from 127.0.0.1: wrong list.", "Tasks that it has ended stay ended.")
	for _, c := range [][3]string{
		{"task", "queued", "Task queued is still canceled, with its batch night."},
		{"batch", "night", "Batch night is no longer canceled."},
		{"batch", "night", "Batch night was not canceled, so nothing was done."},
		{"task", "queued", "Task queued was not canceled, so nothing was done."},
	} {
		if notice := s.noticeAfter(s.post("/cancel/undo", c[0], c[1])); !strings.Contains(notice, c[2]) {
			t.Errorf("got %s\nwant %s", notice, c[2])
		}
	}
	if got := s.value("cancel.queued") + s.value("cancel-batch.night"); got != "" {
		t.Errorf("got the marks %s, want none", got)
	}
	s.logged("cancellation of a batch taken back by a visitor", `"batch":"night"`, `"remote":"127.0.0.1:`)
	s.logged("cancellation of a task taken back by a visitor", `"task":"queued"`)
}

func TestTheEndOfAPauseSaysThatNoTaskWaits(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	s.logIn()
	s.post("/pause")
	s.eventually("/resume", "When they resume, no task waits to be submitted.")
}

func TestSubmissionsArePausedAndResumed(t *testing.T) {
	t.Parallel()
	s := filledSite(t, token)
	s.eventually("/pause", "2 tasks would wait", "1 task runs on.")
	if notice := s.noticeAfter(s.post("/pause", "reason", "maintenance", "for", "1h")); !strings.Contains(notice, "Submissions are paused.") {
		t.Errorf("got %s\nwant that it is paused", notice)
	}
	if value := s.value("pause"); !strings.Contains(value, "maintenance") || !strings.Contains(value, "until") {
		t.Errorf("got %s, want the reason and the end", value)
	}
	s.logged("submissions paused by a visitor", `"tasks":2`)
	s.eventually("/", "Submissions are paused by dashboard, from 127.0.0.1", "maintenance", "Resume…")
	s.eventually("/pause", "This replaces the current pause")
	s.eventually("/resume", "workers submit the 2 tasks that wait")
	if notice := s.noticeAfter(s.post("/resume")); !strings.Contains(notice, "Submissions are resumed.") {
		t.Errorf("got %s\nwant that it is resumed", notice)
	}
	s.logged("submissions resumed by a visitor")
	if notice := s.noticeAfter(s.post("/resume")); !strings.Contains(notice, "Nothing was paused.") {
		t.Errorf("got %s\nwant that nothing was paused", notice)
	}
	for _, period := range []string{"-1h", "soon"} {
		if got := s.post("/pause", "for", period); got.code != http.StatusBadRequest || !strings.Contains(got.body, "for must be a duration above 0") {
			t.Errorf("for %s: got %d, %s\nwant %d and the rule", period, got.code, got.body, http.StatusBadRequest)
		}
	}
	for period, want := range map[string]string{"1000000h": "must end within", "1ns": "must end later"} {
		if got := s.post("/pause", "for", period); got.code != http.StatusBadRequest || !strings.Contains(got.body, want) {
			t.Errorf("for %s: got %d %s, want 400 and %q", period, got.code, got.body, want)
		}
	}
}

func TestFailedTasksRunAgainAfterADryRun(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	s.logIn()
	for i := range 3 {
		id := fmt.Sprint("bad", i)
		s.letter(id, "step_limit", "slow.example", "night", `{"task_id":"`+id+`","prompt":"p","url":"https://slow.example/"}`)
	}
	s.letter("broken", "step_limit", "slow.example", "night", "{")
	s.eventually("/dead-letters", "4 tasks")
	form := []string{"code", "step_limit", "host", "slow.example", "set", "max_steps=120"}
	dry := s.post("/redrive/preview", form...)
	for _, want := range []string{"3 tasks of code step_limit, host slow.example would run again", "bad0.r1", "not a valid request", "Run 3 tasks again", "max_steps=120"} {
		if !strings.Contains(dry.body, want) {
			t.Errorf("dry run: got %s\nwant %q", dry.body, want)
		}
	}
	if got := s.post("/redrive/preview", "batch", "night", "set", "max_steps=0"); got.code != http.StatusBadRequest || !strings.Contains(got.body, "max_steps must be") {
		t.Errorf("a wrong change: got %d, %s, want %d and the rule", got.code, got.body, http.StatusBadRequest)
	}
	if got := s.post("/redrive", append(form, "count", "2")...); got.code != http.StatusConflict || !strings.Contains(got.body, "The selection is 3 tasks by now. Nothing was sent") {
		t.Errorf("another number: got %d, %s\nwant %d and the dry run", got.code, got.body, http.StatusConflict)
	}
	notice := s.noticeAfter(s.post("/redrive", append(form, "count", "3")...))
	if want := "3 tasks sent to the queue again."; !strings.Contains(notice, want) {
		t.Errorf("got %s\nwant %s", notice, want)
	}
	s.logged("tasks run again by a visitor", `"tasks":3`)
	s.eventually("/tasks/bad0.r1", "&#34;max_steps&#34;: 120")
	if again := s.post("/redrive/preview", form...).body; !strings.Contains(again, "0 tasks of") || !strings.Contains(again, "a run is queued or in progress") {
		t.Errorf("again: got %s\nwant nothing to run", again)
	}
}

func TestThePageOfATaskThatFailedPointsToItsButton(t *testing.T) {
	t.Parallel()
	s := filledSite(t, token)
	s.eventually("/tasks/bad", "The button Run again… shows whether it can be run again; in a shell, capstan redrive --task bad does.",
		`To run the task again, use the button <a href="/redrive?task=bad">Run again…</a>.`)
	if got := s.get("/tasks/runs").body; strings.Contains(got, "Run again…") {
		t.Errorf("got %s, want no such button for a task that runs", got)
	}
}

// What somebody types can be a secret, and browsers and proxies keep addresses.
func TestADryRunWithChangesIsSentAsAForm(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	s.logIn()
	s.letter("bad", "step_limit", "slow.example", "", `{"task_id":"bad","prompt":"p","url":"https://slow.example/"}`)
	s.eventually("/redrive?task=bad", `method="post" action="/redrive/preview"`)
	if body := s.get("/redrive?task=bad").body; strings.Contains(body, `method="get"`) {
		t.Errorf("got %s, want no form that becomes an address", body)
	}
	got := s.post("/redrive/preview", "task", "bad", "set", "prompt=hunter2")
	if got.code != http.StatusOK || !strings.Contains(got.body, "Task bad would run again") || !strings.Contains(got.body, "prompt=hunter2") || got.header.Get("Location") != "" {
		t.Errorf("got %d, %s, want the dry run", got.code, got.body)
	}
	got = s.post("/redrive/preview", "task", "bad", "set", `secret_values={"PIN":"hunter2"}`)
	if got.code != http.StatusBadRequest || !strings.Contains(got.body, "secret_values cannot be given here") || strings.Contains(got.body, "hunter2") {
		t.Errorf("a secret: got %d, %s, want that it is refused", got.code, got.body)
	}
	got = s.get("/redrive?task=bad&set=prompt%3Dhunter2")
	if got.code != http.StatusBadRequest || !strings.Contains(got.body, "not taken from an address") || strings.Contains(got.body, "hunter2") {
		t.Errorf("by an address: got %d, %s, want that it is refused", got.code, got.body)
	}
	if got := s.do(http.MethodPost, "/redrive/preview", url.Values{"task": {"bad"}}, "Origin", "https://evil.example"); got.code != http.StatusForbidden {
		t.Errorf("of another site: got %d, want %d", got.code, http.StatusForbidden)
	}
	stream, err := s.JS.Stream(t.Context(), "TASKS")
	if err != nil {
		t.Fatal(err)
	}
	if got := stream.CachedInfo().State.LastSeq; got != 0 {
		t.Errorf("got %d requests, want none: a dry run sends nothing", got)
	}
	if strings.Contains(s.log.String(), "hunter2") {
		t.Errorf("got the log %s, want nothing of what was typed", s.log)
	}
}

func TestAnActShowsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	s.logIn()
	s.eventually("/", "The queue has no tasks.")
	for range 3 {
		if page := s.noticeAfter(s.post("/pause")); !strings.Contains(page, "Submissions are paused by") {
			t.Errorf("got %s\nwant the pause on the first page after it", page)
		}
		if page := s.noticeAfter(s.post("/resume")); strings.Contains(page, "Submissions are paused by") {
			t.Errorf("got %s\nwant no pause", page)
		}
	}
}

func TestAWayToActFailsWithAReason(t *testing.T) {
	t.Parallel()
	s := newSite(t, token)
	s.logIn()
	if err := s.JS.DeleteStream(t.Context(), "KV_task_control"); err != nil {
		t.Fatal(err)
	}
	for path, fields := range map[string][]string{"/pause": nil, "/resume": nil, "/cancel": {"task", "a"}} {
		got := s.post(path, fields...)
		if got.code != http.StatusServiceUnavailable || !strings.Contains(got.body, "no bucket task_control") {
			t.Errorf("%s: got %d, %s\nwant %d and what is missing", path, got.code, got.body, http.StatusServiceUnavailable)
		}
	}
	s.record(task.Record{TaskID: "a", State: task.Running, UpdatedAt: time.Now()})
	s.eventually("/tasks", "1 task")
}
