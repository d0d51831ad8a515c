package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestEventIsOneReadableLine(t *testing.T) {
	finished := time.Date(2025, 3, 4, 5, 6, 7, 0, time.Local)
	base := task.Event{TaskID: "ord-1842", Status: task.Succeeded, SubmittedAt: finished.Add(-3210 * time.Millisecond), FinishedAt: finished}
	with := func(change func(*task.Event)) task.Event {
		ev := base
		change(&ev)
		return ev
	}
	failed := func(code task.Code, message string) func(*task.Event) {
		return func(ev *task.Event) { ev.Status, ev.Error = task.Failed, task.NewError(code, message) }
	}
	for _, c := range []struct {
		name string
		ev   operator.Event
		want string
	}{
		{
			"object",
			operator.Event{Event: with(func(ev *task.Event) { ev.Result = json.RawMessage(`{"a":1}`) })},
			`2025-03-04 05:06:07  ord-1842          ✓ succeeded             3.21s  {"a":1}`,
		},
		{
			"text of two lines",
			operator.Event{Event: with(func(ev *task.Event) { ev.Result = json.RawMessage(`"one\n two"`) })},
			`2025-03-04 05:06:07  ord-1842          ✓ succeeded             3.21s  one two`,
		},
		{
			"replay",
			operator.Event{Replay: true, Event: with(func(ev *task.Event) { ev.Result = json.RawMessage(`1`) })},
			`2025-03-04 05:06:07  ord-1842          ✓ succeeded             3.21s  (replay) 1`,
		},
		{
			"large",
			operator.Event{Event: with(func(ev *task.Event) { ev.ResultRef = &task.ResultRef{Bucket: "b", Name: "n", Size: 9} })},
			`2025-03-04 05:06:07  ord-1842          ✓ succeeded             3.21s  9 bytes in object store b under n`,
		},
		{
			"failed",
			operator.Event{Event: with(failed(task.SubmissionUnknown, "nobody knows"))},
			`2025-03-04 05:06:07  ord-1842          ✗ submission_unknown    3.21s  nobody knows`,
		},
		{
			"never submitted",
			operator.Event{Event: with(func(ev *task.Event) {
				failed(task.Expired, "too late")(ev)
				ev.SubmittedAt = time.Time{}
			})},
			`2025-03-04 05:06:07  ord-1842          ✗ expired                   -  too late`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := eventLine(c.ev); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestForeignTextCannotSteerTheTerminal(t *testing.T) {
	const hostile = "a\x1b[2Jb\u009bc\u202ed\r\ne"
	if got, want := oneLine(hostile, 80), "a[2Jbcd e"; got != want {
		t.Errorf("line: got %q, want %q", got, want)
	}
	term, out := testTerminal(nil)
	if err := term.printJSON(map[string]string{"text": hostile}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\u009b\u202e") {
		t.Errorf("JSON: got %q, want it without control characters", out)
	}
	var back map[string]string
	if err := json.Unmarshal([]byte(out.String()), &back); err != nil || back["text"] != hostile {
		t.Errorf("JSON: got %q, %v; want the same value", back["text"], err)
	}
}

func TestLongTextIsCutToItsLimit(t *testing.T) {
	if got, want := oneLine(strings.Repeat("ä", 200), 10), strings.Repeat("ä", 9)+"…"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestColumnsAreAsWideAsTheTerminalShowsThem(t *testing.T) {
	if got, want := oneLine("日本語のテキスト", 9), "日本語の…"; got != want {
		t.Errorf("cut: got %q, want %q", got, want)
	}
	if got, want := taskCell("日本語"), "日本語          "; got != want {
		t.Errorf("padded: got %q, want %q", got, want)
	}
}
