package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// workerSettings are those of a worker without an API and without NATS, which it waits for.
func workerSettings() []string {
	return []string{"NATS_URL=nats://127.0.0.1:1", "ANCHORBROWSER_BASE_URL=http://127.0.0.1:1", "ANCHORBROWSER_API_KEY=key", "ADMIN_ADDR=127.0.0.1:0"}
}

func TestTheCommandWorkerRunsAWorkerUntilASignal(t *testing.T) {
	t.Parallel()
	run := newTool(t, workerSettings(), "worker")
	run.begin(t)
	run.out.await(t, "cannot connect to NATS, retrying")
	if err := run.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := run.Wait(); err != nil || run.err.String() != "" {
		t.Errorf("after SIGTERM: got %v, %q, want status 0 and no error", err, &run.err)
	}
}

// A supervisor must not see a difference between the two.
func TestTheCommandWorkerBehavesLikeTheProgramWorker(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "worker")
	if err := os.Symlink(os.Args[0], program); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"", "-help", "--help", "-version", "-x", "check"} {
		command := newTool(t, []string{"MAX_IN_FLIGHT=many"}, append([]string{"worker"}, strings.Fields(args)...)...)
		same := newTool(t, []string{"MAX_IN_FLIGHT=many"})
		same.Path, same.Args = program, append([]string{program}, strings.Fields(args)...)
		if got, want := command.status(t), same.status(t); got != want {
			t.Errorf("%q: got status %d, want %d", args, got, want)
		}
		got, want := command.out.String()+command.err.String(), same.out.String()+same.err.String()
		if got != want || got == "" {
			t.Errorf("%q: got %s, want %s", args, got, want)
		}
	}
}

// A worker uses no context, so that it must not seem to.
func TestTheCommandWorkerRefusesAContext(t *testing.T) {
	t.Parallel()
	run := newTool(t, workerSettings(), "--context=production", "worker")
	if got := run.status(t); got != exitUsage || !strings.Contains(run.err.String(), "worker cannot use --context") {
		t.Errorf("got %d, %s, want %d and the reason", got, &run.err, exitUsage)
	}
}
