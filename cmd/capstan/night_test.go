//go:build !nodemo

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// A batch with a worker: with a canary, a report, a second run, and what failed is run again.
func TestABatchFromItsFileToItsReport(t *testing.T) {
	t.Parallel()
	demo := newTool(t, demoEnv(), "demo", "--port=0")
	demo.begin(t)
	demo.out.await(t, "Ctrl-C ends the demo")
	site := strings.TrimSuffix(regexp.MustCompile(`http://127\.0\.0\.1:\d+/knots`).FindString(demo.out.String()), "knots")
	env := []string{"NATS_URL=" + regexp.MustCompile(`nats://127\.0\.0\.1:\d+`).FindString(demo.out.String())}

	rows := "page\n" + strings.Repeat("knots\n", 5) + "absent\n"
	dir := folderOf(t, "pages.csv", rows, "req.json", `{"prompt":"Extract the title","url":"`+site+`{{page}}"}`)
	args := []string{"submit", "-f", "pages.csv", "--template=req.json", "--batch=night", "--canary=3", "--wait", "--report=out.jsonl"}
	for _, want := range []string{"6 tasks in batch night: 6 stored, 0 were there before", "6 tasks in batch night: 0 stored, 6 were there before"} {
		submit := newTool(t, env, args...)
		submit.Dir = dir
		got := submit.status(t)
		if got != exitFailed || submit.out.String() != want+"\n6 of 6 have ended: 5 succeeded, 1 failed (workflow_failed 1)\n" ||
			!strings.Contains(submit.err.String(), "canary: 3 of 3 have ended: 3 succeeded, 0 failed") {
			t.Errorf("got %d, %s%s, want %q", got, &submit.out, &submit.err, want)
		}
		report, err := os.ReadFile(filepath.Join(dir, "out.jsonl"))
		if lines := strings.Count(string(report), "\n"); err != nil || lines != 6 || !strings.Contains(string(report), "Three knots worth knowing") {
			t.Errorf("got %d lines, %v, want 6 with the results: %s", lines, err, report)
		}
	}
	failing := newTool(t, env, "submit", "-f", "-", "--format=csv", "--template=req.json", "--batch=second", "--canary=1")
	failing.Dir, failing.Stdin = dir, strings.NewReader("page\nabsent\nknots\n")
	if got := failing.status(t); got != exitFailed || !strings.Contains(failing.err.String(), "only 0 of the 1 tasks of the canary succeeded (--min-success 0.8), so the other 1 were not sent") {
		t.Errorf("got %d, %s%s, want that the rest is not sent", got, &failing.out, &failing.err)
	}
	failedAgain(t, env)
	mended(t, env, site)
	canceledInAPause(t, env, dir)
}

// expect runs the tool until its output contains a text.
func expect(t *testing.T, env []string, want string, args ...string) {
	t.Helper()
	natstest.Eventually(t, func() error {
		run := newTool(t, env, args...)
		run.status(t)
		if !strings.Contains(run.out.String(), want) {
			return fmt.Errorf("%s: got %s%s, want %q", args, &run.out, &run.err, want)
		}
		return nil
	})
}

// failedAgain runs the task of the batch that failed again, twice.
func failedAgain(t *testing.T, env []string) {
	t.Helper()
	expect(t, env, "would run again: 1 task\n        1  workflow_failed     127.0.0.1\n", "redrive", "--batch=night")
	expect(t, env, "1 stored", "redrive", "--batch=night", "--yes")
	expect(t, env, "workflow_failed", "get", "night-000007.r1")
	expect(t, env, "the first as night-000007.r2", "redrive", "--batch=night")
}

// mended sends a request that is refused, and runs it again without its mistake.
func mended(t *testing.T, env []string, site string) {
	t.Helper()
	nc, err := nats.Connect(strings.TrimPrefix(env[0], "NATS_URL="))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "tasks.request", fmt.Appendf(nil, `{"task_id":"bad","prompt":"Extract the title","url":"%sknots","max_steps":0}`, site)); err != nil {
		t.Fatal(err)
	}
	redrive := []string{"redrive", "--task=bad", "--code=invalid_request", "--set=max_steps=7", "--yes"}
	expect(t, env, "1 stored", redrive...)
	expect(t, env, "Three knots worth knowing", "get", "bad.r1")
	expect(t, env, "a run has succeeded", redrive...)
}

// canceledInAPause cancels a batch of which nothing is submitted, because submissions are paused.
func canceledInAPause(t *testing.T, env []string, dir string) {
	t.Helper()
	expect(t, env, "paused by", "pause", "--for=1h", "--reason=a test")
	submit := newTool(t, env, "submit", "-f", "pages.csv", "--template=req.json", "--batch=third", "--wait")
	submit.Dir = dir
	submit.begin(t)
	submit.err.await(t, "waiting for the tasks")
	expect(t, env, "batch third is canceled: 6 tasks will end", "cancel", "--batch=third", "--reason=wrong list")
	submit.out.await(t, "6 of 6 have ended: 0 succeeded, 6 failed (canceled 6)")
	expect(t, env, "a test", "resume")
}
