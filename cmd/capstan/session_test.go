package main

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestGetShowsTheSessionAndWhatTheTaskUsed(t *testing.T) {
	c := newReader(t)
	r := task.Record{
		TaskID: "ord-1", State: task.Running, WorkflowID: "wf-2", SessionID: "s-2", LiveView: "https://live.example/", Run: 1,
		Runs: []task.Run{{Code: task.StepLimit, WorkflowID: "wf-1", SessionID: "s\u202e 1", Steps: new(20)}}, RequestedAt: time.Now(), UpdatedAt: time.Now(),
	}
	c.put(t, "task_tracker", r.TaskID, string(r.JSON()))
	_, running, _ := runTool(t, "get", "ord-1")
	r.State, r.SessionEnded, r.Steps, r.Credits = task.Failed, new(true), new(32), new(0.53)
	c.put(t, "task_tracker", r.TaskID, string(r.JSON()))
	_, ended, _ := runTool(t, "get", "ord-1")
	for _, row := range []string{"run_1      step_limit wf-1 s\\u202e\\x201 20 steps - credits\n", "session    s-2\n"} {
		if !strings.Contains(running, row) || !strings.Contains(ended, row) {
			t.Errorf("got\n%s\n%s, want %q in both", running, ended, row)
		}
	}
	for _, row := range []string{"\nbrowser    ended\n", "\nsteps      32\n", "\ncredits    0.53\n"} {
		if strings.Contains(running, row) || !strings.Contains(ended, row) {
			t.Errorf("got\n%s\n%s, want %q only in the second", running, ended, row)
		}
	}
}

// Who has the link sees the browser, and may control it.
func TestNoCommandShowsTheLinkToABrowser(t *testing.T) {
	c := newReader(t)
	r := task.Record{TaskID: "runs", State: task.Running, WorkflowID: "wf", SessionID: "s-1", LiveView: "https://live.example/", RequestedAt: time.Now(), UpdatedAt: time.Now()}
	c.put(t, "task_tracker", r.TaskID, string(r.JSON()))
	for _, args := range []string{"get runs", "get runs --json", "why runs", "list", "list --json", "status", "status --json", "watch --until-now --json"} {
		status, out, errs := runTool(t, strings.Fields(args)...)
		if text := out + errs; status != exitOK || strings.Contains(text, "live.example") || strings.Contains(text, "live_view") {
			t.Errorf("%s: got %d, %s, want it without the link", args, status, text)
		}
	}
}
