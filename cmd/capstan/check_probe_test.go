package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// admin starts a server that answers like a worker's, and returns its address. It ends with the test.
func admin(t *testing.T, handler http.HandlerFunc) (addr string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// answers returns a handler with one answer, in plain text.
func answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// healthOf runs capstan check with the arguments and returns its status and what it printed to both outputs.
func healthOf(t *testing.T, env []string, args ...string) (status int, printed string) {
	t.Helper()
	run := newTool(t, env, append([]string{"check"}, args...)...)
	status = run.status(t)
	return status, run.out.String() + run.err.String()
}

func TestAHealthCheckSaysWhatTheWorkerSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flag     string
		answer   http.HandlerFunc
		status   int
		printed  string
		complete bool
	}{
		"ready":                    {"--ready", answers(200, "NATS: connected\nwork: accepting tasks\n"), exitOK, "NATS: connected\nwork: accepting tasks\n", true},
		"not ready":                {"--ready", answers(503, "NATS: disconnected\n"), exitFailed, "NATS: disconnected\ncapstan: the worker is not ready\n", true},
		"alive":                    {"--live", answers(200, "ok\n"), exitOK, "ok\n", true},
		"not ready is not alive":   {"--live", answers(503, "busy\n"), exitFailed, "got 503", false},
		"another status":           {"--ready", answers(404, "no\n"), exitFailed, `got 404 with "text/plain; charset=utf-8", which is not the answer of a worker`, false},
		"a page of something else": {"--ready", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, exitFailed, "text/html", false},
		"a redirect":               {"--ready", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, exitFailed, "got 302", false},
		"hostile text":             {"--ready", answers(200, "NATS: \x1b[2Jsafe\u202e\n"), exitOK, `NATS: \x1b[2Jsafe\u202e` + "\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, printed := healthOf(t, nil, c.flag, "--at="+admin(t, c.answer))
			if status != c.status || !strings.Contains(printed, c.printed) || c.complete && printed != c.printed {
				t.Errorf("got status %d, %q, want %d and %q", status, printed, c.status, c.printed)
			}
		})
	}
}

// Docker kills a health check that takes too long, and would then show nothing of what it found.
func TestAHealthCheckOfAHungWorkerEnds(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]http.HandlerFunc{
		"before its answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"within its answer": func(w http.ResponseWriter, r *http.Request) {
			answers(200, "NATS: ")(w, r)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, printed := healthOf(t, nil, "--ready", "--timeout=200ms", "--at="+admin(t, hang))
			if status != exitFailed || !strings.Contains(printed, "no answer in time") {
				t.Errorf("got status %d, %q, want %d and that there was no answer", status, printed, exitFailed)
			}
		})
	}
}

func TestAHealthCheckOfNoWorkerSaysWhereItLooked(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	status, printed := healthOf(t, []string{"ADMIN_ADDR=" + addr}, "--ready")
	for _, want := range []string{"ask " + addr + " for /readyz", "connection refused", "set ADMIN_ADDR or --at"} {
		if status != exitFailed || !strings.Contains(printed, want) {
			t.Errorf("got status %d, %q, want %d and %q", status, printed, exitFailed, want)
		}
	}
}

// The worker's address may be every one of the machine, which is nowhere to ask at.
func TestAHealthCheckAsksAtTheWorkersOwnSetting(t *testing.T) {
	t.Parallel()
	_, port, err := net.SplitHostPort(admin(t, answers(200, "work: accepting tasks\n")))
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{":" + port, "0.0.0.0:" + port, "127.0.0.1:" + port, "localhost:" + port} {
		env := []string{"ADMIN_ADDR=" + addr, "MAX_IN_FLIGHT=many", "HTTP_PROXY=http://127.0.0.1:1", "NATS_CONTEXT=production"}
		if status, printed := healthOf(t, env, "--ready"); status != exitOK || printed != "work: accepting tasks\n" {
			t.Errorf("%s: got status %d, %q, want %d and the answer only", addr, status, printed, exitOK)
		}
	}
}

func TestMistakesInTheFlagsOfAHealthCheckAreUsageErrors(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--ready --live":              "--ready and --live exclude each other",
		"--ready --json":              "exclude each other",
		"--at=:8080":                  "--at has no effect without --ready or --live",
		"--ready --at=":               `--at must be host:port or :port, such as 127.0.0.1:8080 (got "")`,
		"--ready --at=worker":         `(got "worker")`,
		"--live --at=:99999":          `(got ":99999")`,
		"--live --at=127.0.0.1:0":     "--at has port 0, which is any free port",
		"--ready --timeout=-1s":       "--timeout must be a duration above 0",
		"--ready --at=http://x:1/rea": "--at must be host:port",
	} {
		if status, printed := healthOf(t, nil, strings.Fields(args)...); status != exitUsage || !strings.Contains(printed, want) {
			t.Errorf("%s: got status %d, %q, want %d and %q", args, status, printed, exitUsage, want)
		}
	}
	if status, printed := healthOf(t, []string{"ADMIN_ADDR=127.0.0.1:0"}, "--ready"); status != exitUsage || !strings.Contains(printed, "ADMIN_ADDR has port 0") {
		t.Errorf("got status %d, %q, want %d and the setting", status, printed, exitUsage)
	}
}

// The answers above are made up: this is a worker's own.
func TestAWorkerThatWaitsForNATSIsAliveAndNotReady(t *testing.T) {
	t.Parallel()
	run := newTool(t, slices.Concat(workerSettings(), []string{"LOG_LEVEL=debug"}), "worker")
	run.begin(t)
	run.out.await(t, "admin server listening")
	addr := "--at=" + regexp.MustCompile(`127\.0\.0\.1:\d\d+`).FindString(run.out.String())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for status, printed := -1, ""; status != exitOK; { // the server answers a moment after it listens
		if ctx.Err() != nil {
			t.Fatalf("--live: got status %d, %q, want %d", status, printed, exitOK)
		}
		status, printed = healthOf(t, nil, "--live", addr)
	}
	if status, printed := healthOf(t, nil, "--ready", addr); status != exitFailed || !strings.Contains(printed, "the worker is not ready") {
		t.Errorf("--ready: got status %d, %q, want %d", status, printed, exitFailed)
	}
}
