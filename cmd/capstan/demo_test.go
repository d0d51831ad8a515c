//go:build !nodemo

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// demoEnv is for demos that run at once: two that look for a free port at the same moment find the same.
func demoEnv(more ...string) []string { return append(more, "ADMIN_ADDR=127.0.0.1:0") }

func TestDemoShowsThreeTasksAndEnds(t *testing.T) {
	t.Parallel()
	demo := newTool(t, demoEnv(), "demo", "--port=0", "--exit")
	if got := demo.status(t); got != exitOK {
		t.Errorf("exit status: got %d, want %d\n%s%s", got, exitOK, &demo.out, &demo.err)
	}
	for _, want := range []string{"queued", "submitting", "running", `{"heading":"Welcome aboard"}`, "✗ workflow_failed", "404 Not Found", "2 succeeded, 1 failed, as expected"} {
		if !strings.Contains(demo.out.String(), want) {
			t.Errorf("got %s\nwant it to contain %q", &demo.out, want)
		}
	}
	if got := demo.err.String(); got != "" {
		t.Errorf("standard error: got %q, want nothing", got)
	}
	if strings.Contains(demo.out.String(), "\x1b") {
		t.Errorf("got %q, want no colors: this is not a terminal", &demo.out)
	}
	assertEmpty(t, demo.folder())
}

// folder is where the tool keeps what is temporary.
func (r *tool) folder() string {
	const name = "TMPDIR="
	i := slices.IndexFunc(r.Env, func(variable string) bool { return strings.HasPrefix(variable, name) })
	return r.Env[i][len(name):]
}

func assertEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: got %v, want nothing", left)
	}
}

func TestDemoIsALiveQueueUntilItIsStopped(t *testing.T) {
	t.Parallel()
	demo := newTool(t, demoEnv(), "demo", "--port=0")
	demo.begin(t)
	demo.out.await(t, "Ctrl-C ends the demo")
	site := regexp.MustCompile(`http://127\.0\.0\.1:\d+/knots`).FindString(demo.out.String())
	env := []string{"NATS_URL=" + regexp.MustCompile(`nats://127\.0\.0\.1:\d+`).FindString(demo.out.String())}

	watch := newTool(t, env, "watch", "--json")
	watch.begin(t)
	watch.err.await(t, "watching")

	args := []string{"submit", "--wait", "--task-id=knots", "--url", site, "--prompt=Extract the title"}
	submit := newTool(t, env, args...)
	if got := submit.status(t); got != exitOK {
		t.Fatalf("submit: exit status: got %d, want %d\n%s", got, exitOK, &submit.err)
	}
	var ev task.Event
	if err := json.Unmarshal([]byte(submit.out.String()), &ev); err != nil {
		t.Fatalf("submit: got %q: %v", &submit.out, err)
	}
	if got, want := string(ev.Result), `{"title": "Three knots worth knowing"}`; !sameJSON(got, want) {
		t.Errorf("result: got %s, want %s", got, want)
	}
	watch.out.await(t, `"task_id":"knots"`)
	demo.out.await(t, "Three knots")

	again := newTool(t, env, args...)
	if got := again.status(t); got != exitOK || !sameJSON(again.out.String(), submit.out.String()) {
		t.Errorf("the same again: got %d, %s, want the same event", got, &again.out)
	}
	failing := newTool(t, env, "submit", "--wait", "--url", site+"/absent", "Extract the title")
	if got := failing.status(t); got != exitFailed || !strings.Contains(failing.out.String(), "workflow_failed") {
		t.Errorf("a task that fails: got %d, %s, want %d and its event", got, &failing.out, exitFailed)
	}
	invited := regexp.MustCompile(` get (heading-\w+)\n`).FindStringSubmatch(demo.out.String())
	if invited == nil {
		t.Fatalf("got %s, want the command that gets a task", &demo.out)
	}
	shown := newTool(t, env, "get", invited[1])
	if got := shown.status(t); got != exitOK || !strings.Contains(shown.out.String(), "Welcome aboard") {
		t.Errorf("get of a task of the demo: got %d, %s%s, want the result", got, &shown.out, &shown.err)
	}
	get := newTool(t, env, "get", "knots")
	if got := get.status(t); got != exitOK || !strings.Contains(get.out.String(), "Three knots worth knowing") {
		t.Errorf("get: got %d, %s%s, want the result", got, &get.out, &get.err)
	}
	unknown := newTool(t, env, "get", "nobody")
	if got := unknown.status(t); got != exitFailed || !strings.Contains(unknown.err.String(), `no record of task "nobody"`) {
		t.Errorf("get of an unknown task: got %d, %s, want %d and why", got, &unknown.err, exitFailed)
	}
	interrupt(t, watch, exitSignal+int(syscall.SIGINT))
	stop(t, demo)
	assertEmpty(t, demo.folder())
}

// stop does what Ctrl-C does, and expects an orderly end.
func stop(t *testing.T, run *tool) {
	t.Helper()
	interrupt(t, run, exitOK)
}

// interrupt does what Ctrl-C does, and expects an end with this status.
func interrupt(t *testing.T, run *tool, status int) {
	t.Helper()
	if err := run.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait() // its status is all that counts
	if got := run.ProcessState.ExitCode(); got != status {
		t.Errorf("%v: exit status: got %d, want %d\n%s", run.Args[1:], got, status, &run.err)
	}
}

// sameJSON compares two texts without their white space.
func sameJSON(a, b string) bool {
	return strings.Join(strings.Fields(a), "") == strings.Join(strings.Fields(b), "")
}

func TestDemoHasADashboard(t *testing.T) {
	t.Parallel()
	demo := newTool(t, demoEnv(), "demo", "--port=0")
	demo.begin(t)
	demo.out.await(t, "Ctrl-C ends the demo")
	url := address.FindString(regexp.MustCompile(`page +http://\S+`).FindString(demo.out.String()))
	if status, body := page(t, url+"/tasks"); status != http.StatusOK || !strings.Contains(body, "3 tasks") {
		t.Errorf("got %d, %s, want the three tasks", status, body)
	}
	if !strings.Contains(demo.out.String(), "it only shows, unless you set DASHBOARD_TOKEN") {
		t.Errorf("got %s, want it to say how visitors may act", &demo.out)
	}
	stop(t, demo)
	assertEmpty(t, demo.folder())
}

func TestVisitorsOfTheDemoLogInWithTheToken(t *testing.T) {
	t.Parallel()
	demo := newTool(t, append(demoEnv(), "DASHBOARD_TOKEN=0123456789abcdef"), "demo", "--port=0")
	demo.begin(t)
	demo.out.await(t, "log in with DASHBOARD_TOKEN")
	url := address.FindString(regexp.MustCompile(`page +http://\S+`).FindString(demo.out.String()))
	if status, body := page(t, url); status != http.StatusOK || !strings.Contains(body, "<h1>Log in</h1>") {
		t.Errorf("got %d, %s, want the login", status, body)
	}
	stop(t, demo)
}

func TestDemoStopsAtOnceWhileTasksRun(t *testing.T) {
	t.Parallel()
	demo := newTool(t, demoEnv(), "demo", "--port=0")
	demo.begin(t)
	demo.out.await(t, "running")
	stop(t, demo)
	assertEmpty(t, demo.folder())
}

func TestDemoKeepsTheFolderItIsGiven(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	for range 2 { // the second demo takes up what the first has left
		demo := newTool(t, demoEnv(), "demo", "--port=0", "--data", dir)
		demo.begin(t)
		demo.out.await(t, "running")
		stop(t, demo)
	}
	if _, err := os.Stat(filepath.Join(dir, "jetstream")); err != nil {
		t.Error(err)
	}
}

func TestDemoDoesNotTouchTheUsersNATS(t *testing.T) {
	t.Parallel()
	demo := newTool(t, demoEnv("NATS_URL=nats://127.0.0.1:1", "NATS_TOKEN=t", "NATS_CREDS_FILE=/absent"), "demo", "--port=0")
	demo.begin(t)
	demo.out.await(t, "running")
	stop(t, demo)
}

func TestDemoWithAKeyUsesTheAPIThatIsSet(t *testing.T) {
	t.Parallel()
	demo := newTool(t, demoEnv("ANCHORBROWSER_API_KEY=k", "ANCHORBROWSER_BASE_URL=http://127.0.0.1:1"), "demo", "--port=0")
	demo.begin(t)
	demo.out.await(t, "waiting")
	if !strings.Contains(demo.out.String(), "this uses your credits") {
		t.Errorf("got %s\nwant it to say that the real API is used", &demo.out)
	}
	stop(t, demo)
}

// ADMIN_ADDR is the demo's own here, and no other test's: 8080 where it is free.
func TestDemoSaysWhyItWaits(t *testing.T) {
	t.Parallel()
	demo := newTool(t, []string{"ANCHORBROWSER_API_KEY=k", "ANCHORBROWSER_BASE_URL=http://127.0.0.1:1"}, "demo", "--port=0")
	demo.begin(t)
	demo.out.await(t, "the worker is waiting: submissions: paused: unreachable (API: http://127.0.0.1:1)")
	stop(t, demo)
}

func TestTheDemoReportsPausesAndWhatTheWorkerLacks(t *testing.T) {
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{200, "nats: CONNECTED\nsubmissions: ok\n", ""},
		{200, "nats: CONNECTED\nsubmissions: paused until 2026-11-26T09:30:01Z: no_credits\npolls: ok\n", "submissions: paused: no_credits"},
		{503, "nats: CONNECTED\nstreams: stream TASKS is missing\n", "nats: CONNECTED; streams: stream TASKS is missing"},
	} {
		if got := waitReasons(c.status, c.body); got != c.want {
			t.Errorf("%d %q: got %q, want %q", c.status, c.body, got, c.want)
		}
	}
}

func TestDemoNamesTheTaskThatDidNotEndAsExpected(t *testing.T) {
	term, _ := testTerminal(nil)
	s := &show{t: term, states: map[string]task.State{}, counts: map[task.State]int{}, tasks: demoTasks(demoAPI{})}
	missing := s.tasks[2].id
	for _, each := range slices.Clone(s.tasks) {
		s.event(operator.Event{Event: task.Event{TaskID: each.id, Status: task.Succeeded}})
	}
	if got, want := len(s.tasks), 0; got != want {
		t.Errorf("tasks left: got %d, want %d", got, want)
	}
	if want := "task " + missing + " ended as succeeded, expected failed"; s.wrong == nil || s.wrong.Error() != want {
		t.Errorf("got %v, want %s", s.wrong, want)
	}
}

func TestDemoFailsIfATaskDidNotEndAsExpected(t *testing.T) {
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	demo := &demoCmd{}
	if got := demo.result(interrupted, errTaskFailed); !errors.Is(got, errTaskFailed) {
		t.Errorf("got %v, want %v", got, errTaskFailed)
	}
	if got := demo.result(interrupted, nil); got != nil {
		t.Errorf("all as expected: got %v, want nil", got)
	}
	stopped, fail := context.WithCancelCause(t.Context())
	fail(errors.New("disk full"))
	if got := demo.result(stopped, errTaskFailed); got == nil || !strings.Contains(got.Error(), "disk full") {
		t.Errorf("got %v, want the worker's error", got)
	}
}

func TestDemoNamesTheFolderThatItCannotCreate(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	demo := newTool(t, demoEnv(), "demo", "--port=0", "--data", filepath.Join(file, "data"))
	if got := demo.status(t); got != exitFailed || !strings.Contains(demo.err.String(), file) {
		t.Errorf("got %d, %s, want %d and the folder", got, &demo.err, exitFailed)
	}
}
