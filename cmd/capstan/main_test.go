package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// TestMain lets the tests' own binary be the tool, as a process with an environment, signals and an exit
// status.
func TestMain(m *testing.M) {
	if os.Getenv("CAPSTAN_TEST_RUN_TOOL") != "" {
		main()
	}
	natstest.SideBySide(8)
	os.Exit(m.Run())
}

// asTool is the environment that makes the tests' own binary the tool. Built with the race detector, a program sleeps for a
// second before it exits.
func asTool() []string { return []string{"CAPSTAN_TEST_RUN_TOOL=1", "GORACE=atexit_sleep_ms=10"} }

// patience bounds what a test waits for.
const patience = 60 * time.Second

// tool is a run of capstan in a process of its own.
type tool struct {
	*exec.Cmd
	out, err output
}

// newTool prepares a run. It sees only the given variables of the environment, and a temporary folder of
// the test's.
func newTool(t *testing.T, env []string, args ...string) *tool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	run := &tool{Cmd: exec.CommandContext(ctx, os.Args[0], args...)}
	run.Env = append(append(asTool(), "TMPDIR="+t.TempDir()), env...)
	run.Stdout, run.Stderr = &run.out, &run.err
	return run
}

// status runs the tool to its end and returns the exit status.
func (r *tool) status(t *testing.T) int {
	t.Helper()
	if err := r.Run(); err != nil && r.ProcessState == nil {
		t.Fatal(err)
	}
	return r.ProcessState.ExitCode()
}

// begin starts the tool; the test stops it at its end.
func (r *tool) begin(t *testing.T) {
	t.Helper()
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Process.Kill()
		_ = r.Wait()
	})
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the output contains the text.
func (o *output) await(t *testing.T, text string) {
	t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(o.String(), text) {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("got %s\nwant it to contain %q", o, text)
		}
	}
}

// In the image the tool's file has a second name.
func TestUnderTheNameWorkerItIsTheWorker(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "worker")
	if err := os.Symlink(os.Args[0], name); err != nil {
		t.Fatal(err)
	}
	run := newTool(t, []string{"MAX_IN_FLIGHT=many"})
	run.Path, run.Args = name, []string{"/worker"}
	if got := run.status(t); got != exitFailed || !strings.Contains(run.err.String(), `MAX_IN_FLIGHT must be a whole number (got "many")`) {
		t.Errorf("got %d, %s, want %d and the worker's word on its settings", got, &run.err, exitFailed)
	}
}

// The image's entry point is the worker: docker run IMAGE capstan check runs the tool all the same.
func TestTheWorkersFileRunsTheToolThatItsFirstArgumentNames(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "worker")
	if err := os.Symlink(os.Args[0], name); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]struct {
		status int
		says   string
	}{
		"capstan get x":  {exitNATS, "no NATS at nats://127.0.0.1:1"},
		"capstan sumbit": {exitUsage, "did you mean submit?"},
		"check":          {exitUsage, "for checks use: capstan check"},
		"worker -x":      {exitUsage, "worker takes no arguments but -help and -version"},
		"capstan worker": {exitFailed, "set ANCHORBROWSER_API_KEY"},
	} {
		run := newTool(t, []string{"NATS_URL=nats://127.0.0.1:1"})
		run.Path, run.Args = name, append([]string{"/worker"}, strings.Fields(args)...)
		if got := run.status(t); got != want.status || !strings.Contains(run.err.String(), want.says) {
			t.Errorf("worker %s: got %d, %s, want %d and %q", args, got, &run.err, want.status, want.says)
		}
	}
}

// testTerminal returns a terminal without colors whose input is the text; nil for a person's.
func testTerminal(in io.Reader) (t *terminal, out *output) {
	out = &output{}
	return &terminal{in: in, out: out, err: io.Discard}, out
}

func TestExitStatusTellsUsageFromFailure(t *testing.T) {
	nowhere := []string{"NATS_URL=nats://127.0.0.1:1"}
	submit := func(more ...string) []string {
		return append([]string{"submit", "--url=https://example.com", "p"}, more...)
	}
	for _, c := range []struct {
		name   string
		args   []string
		env    []string
		status int
		says   string
	}{
		{"help", []string{"--help"}, nil, exitOK, ""},
		{"nothing", nil, nil, exitOK, ""},
		{"help as of the worker", []string{"-help"}, nil, exitOK, ""},
		{"help on a command as of the worker", []string{"get", "-help"}, nil, exitOK, ""},
		{"a prompt like that", []string{"submit", "--url=x", "--", "-help"}, nowhere, exitUsage, "url"},
		{"version", []string{"--version"}, nil, exitOK, ""},
		{"help command", []string{"help"}, nil, exitOK, ""},
		{"help on a command", []string{"help", "get"}, nil, exitOK, ""},
		{"version command", []string{"version"}, nil, exitOK, ""},
		{"unknown command", []string{"sumbit"}, nil, exitUsage, "capstan help"},
		{"unknown flag", []string{"get", "--jason", "x"}, nil, exitUsage, "--jason"},
		{"no request", []string{"submit"}, nil, exitUsage, "no request"},
		{"a port that is none", []string{"demo", "--port=70000"}, nil, exitUsage, "--port must be from 0 to 65535 (got 70000)"},
		{"a negative port", []string{"demo", "--port=-1"}, nil, exitUsage, "(got -1)"},
		{"no time to check", []string{"check", "--timeout=0s"}, nil, exitUsage, "--timeout must be a duration above 0"},
		{"since the future", []string{"watch", "--since=-5m"}, nowhere, exitUsage, "--since must be a duration above 0, such as 10m (got -5m0s)"},
		{"a timeout of no wait", submit("--wait-timeout=5s"), nowhere, exitUsage, "--wait-timeout has no effect without --wait: add --wait"},
		{"a negative wait", submit("--wait", "--wait-timeout=-5s"), nowhere, exitUsage, "--wait-timeout must be a duration above 0, such as 10m (got -5s)"},
		{"expired before it is sent", submit("--expires-at=2020-01-02T03:04:05Z"), nowhere, exitUsage, "(got 2020-01-02T03:04:05Z)"},
		{"a task id with a blank", submit("--task-id=a b"), nowhere, exitUsage, "task_id"},
		{"a task id that is empty", submit("--task-id="), nowhere, exitUsage, "task_id"},
		{"no task has such an id", []string{"get", "a b"}, nowhere, exitUsage, "task_id"},
		{"no NATS to submit to", submit(), nowhere, exitNATS, "no NATS at nats://127.0.0.1:1: start it"},
		{"wrong setting", []string{"get", "x"}, []string{"TRACKER_BUCKET=a.b"}, exitUsage, "TRACKER_BUCKET"},
		{"no NATS", []string{"get", "x"}, nowhere, exitNATS, "no NATS at nats://127.0.0.1:1"},
		{"no NATS by flag", []string{"--nats-url", "nats://127.0.0.1:2", "get", "x"}, nowhere, exitNATS, "no NATS at nats://127.0.0.1:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run := newTool(t, c.env, c.args...)
			if got := run.status(t); got != c.status {
				t.Errorf("exit status: got %d, want %d", got, c.status)
			}
			if !strings.Contains(run.err.String(), c.says) {
				t.Errorf("standard error: got %q, want it to contain %q", &run.err, c.says)
			}
		})
	}
}
