package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// answered is a server without a worker, on which the events of tasks are stored before these are submitted: the line of a
// task in the file, and its status.
func answered(t *testing.T, events map[int]string) (js jetstream.JetStream, env []string, dir string) {
	t.Helper()
	js, env = queue(t)
	for line, status := range events {
		event := fmt.Sprintf(`{"task_id":"night-%06d","status":%q}`, line, status)
		if _, err := js.Publish(t.Context(), "tasks.result", []byte(event)); err != nil {
			t.Fatal(err)
		}
	}
	return js, env, folderOf(t, "orders.csv", orders+"third,https://shop.example.com/3\n", "req.json", orderRequest)
}

func TestTheRestIsSentOnlyIfEnoughOfTheCanarySucceed(t *testing.T) {
	t.Parallel()
	js, env, dir := answered(t, map[int]string{2: "failed", 3: "succeeded"})
	for _, c := range []struct {
		share  string
		status int
		out    string
		says   string
		sent   uint64
	}{
		{"", exitFailed, "", "only 1 of the 2 tasks of the canary succeeded (--min-success 0.8), so the rest (1 task) was not sent; to send it anyway, run the command without --canary", 2},
		{"--min-success=0.51", exitFailed, "", "(--min-success 0.51)", 2},
		{"--min-success=0.5", exitOK, "3 tasks in batch night: 1 stored, 2 were there before\n", "canary: 2 of 2 have ended: 1 succeeded, 1 failed (unknown 1)", 3},
	} {
		args := []string{"submit", "-f", "orders.csv", "--template=req.json", "--batch=night", "--canary=2"}
		if c.share != "" {
			args = append(args, c.share)
		}
		run := newTool(t, env, args...)
		run.Dir = dir
		if got := run.status(t); got != c.status || run.out.String() != c.out || !strings.Contains(run.err.String(), c.says) {
			t.Errorf("%s: got %d, %s%s, want %d, %s and %q", c.share, got, &run.out, &run.err, c.status, c.out, c.says)
		}
		stream, err := js.Stream(t.Context(), "TASKS")
		if err != nil || stream.CachedInfo().State.Msgs != c.sent {
			t.Errorf("%s: got %+v, %v, want %d requests", c.share, stream, err, c.sent)
		}
	}
}

func TestTheExitStatusSaysWhetherAllOfABatchSucceeded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		events map[int]string
		status int
		says   string
	}{
		"all succeeded": {map[int]string{2: "succeeded", 3: "succeeded", 4: "succeeded"}, exitOK, "3 of 3 have ended: 3 succeeded, 0 failed\n"},
		"one failed":    {map[int]string{2: "succeeded", 3: "failed", 4: "succeeded"}, exitFailed, "3 of 3 have ended: 2 succeeded, 1 failed (unknown 1)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, env, dir := answered(t, c.events)
			run := newTool(t, env, "submit", "-f", "orders.csv", "--template=req.json", "--batch=night", "--wait", "--report=out.jsonl")
			run.Dir = dir
			if got := run.status(t); got != c.status || !strings.HasSuffix(run.out.String(), c.says) || strings.Contains(run.err.String(), "capstan:") {
				t.Errorf("got %d, %s%s, want %d and %q", got, &run.out, &run.err, c.status, c.says)
			}
			if report, err := os.ReadFile(filepath.Join(dir, "out.jsonl")); err != nil || strings.Count(string(report), "\n") != 3 {
				t.Errorf("got the report %s, %v, want three lines", report, err)
			}
		})
	}
}

// brokenReport is a report whose last part cannot be written.
type brokenReport struct{}

var errDiskFull = errors.New("close the report: disk full")

func (brokenReport) Close() error { return errDiskFull }

func TestAReportThatIsNotWholeIsToldEvenIfATaskFailed(t *testing.T) {
	var out, errs output
	term := &terminal{out: &out, err: &errs}
	if err := closeReport(term, brokenReport{}, errTaskFailed); !errors.Is(err, errTaskFailed) || !strings.Contains(errs.String(), "disk full") {
		t.Errorf("got %v and %s, want both", err, &errs)
	}
	if err := closeReport(term, brokenReport{}, nil); !errors.Is(err, errDiskFull) {
		t.Errorf("got %v, want %v", err, errDiskFull)
	}
}
