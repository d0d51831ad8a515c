package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

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
			if got := strings.Join(eventLines(c.ev, room{columns: 110}), "\n"); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestForeignTextInJSONCannotSteerTheTerminal(t *testing.T) {
	const hostile = "a\x1b[2Jb\u009bc\u202ed\r\ne"
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

func TestAnEventShowsWhatFitsTheTerminal(t *testing.T) {
	now := time.Now()
	ev := operator.Event{Event: task.Event{
		TaskID: "night-000017", Status: task.Failed, SubmittedAt: now.Add(-90 * time.Second), FinishedAt: now,
		Error: task.NewError(task.WorkflowFailed, "the workflow failed: open https://shop.example.com/p/4711: the site answered 404 Not Found"),
	}}
	for columns, want := range map[int]string{
		60: `
HH:MM:SS  night-000017      ✗ workflow_failed       1m30s
          the workflow failed: open https://shop.example.co…`,
		80: `
HH:MM:SS  night-000017      ✗ workflow_failed     the workflow failed: open htt…`,
		120: `
HH:MM:SS  night-000017      ✗ workflow_failed       1m30s  the workflow failed: open https://shop.example.com/p/4711: t…`,
		200: `
HH:MM:SS  night-000017      ✗ workflow_failed       1m30s  the workflow failed: open https://shop.example.com/p/4711: the site answered 404 Not Found`,
	} {
		got := strings.Join(eventLines(ev, room{columns: columns, rows: 24}), "\n")
		if want := strings.ReplaceAll(strings.TrimPrefix(want, "\n"), "HH:MM:SS", clock(now)); got != want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", columns, got, want)
		}
	}
	ev.TaskID = strings.Repeat("ord-1842.", 6)
	got := strings.Join(eventLines(ev, room{columns: 60, rows: 24}), "\n")
	want := ev.TaskID + "\n" + clock(now) + "  ✗ workflow_failed       1m30s\n          the workflow failed: open https://shop.example.co…"
	if got != want {
		t.Errorf("a long id: got\n%s\nwant\n%s", got, want)
	}
}

// The fields are those of the documents: time, id, status, code, run time, result or message.
func TestAnEventInAPipeIsForAwk(t *testing.T) {
	at := time.Now()
	long := strings.Repeat("long ", 500)
	for _, c := range []struct {
		ev   task.Event
		want string
	}{
		{task.Event{TaskID: "a", Status: task.Succeeded, SubmittedAt: at, Result: json.RawMessage(`{"a":1}`)}, `a succeeded - 0.00s {"a":1}`},
		{task.Event{TaskID: "b", Status: task.Failed, Error: task.NewError(task.Timeout, long)}, "b failed timeout - " + strings.TrimSpace(long)},
		{task.Event{TaskID: "日本 \x1b", Status: task.Failed, Error: task.NewError("new code", "x")}, `日本\x20\x1b failed new\x20code - x`},
	} {
		c.ev.FinishedAt = at
		got := eventLines(operator.Event{Event: c.ev}, room{})
		if want := at.Local().Format(time.RFC3339) + " " + c.want; len(got) != 1 || strings.Join(strings.Fields(got[0]), " ") != want {
			t.Errorf("got %q, want the fields %q", got, want)
		}
	}
}

func TestNoLineOfAnEventIsWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	evil := strings.Repeat("日本\u202e\x1b[2Jé👩‍🚀", 40)
	for columns := leastColumns; columns <= 250; columns++ {
		for i := range 30 {
			ev := operator.Event{Replay: i%2 == 0, Event: task.Event{
				TaskID: evil[:i*7], Status: task.Failed, Error: task.NewError(task.Code(evil), evil), FinishedAt: time.Now().AddDate(0, 0, -i),
			}}
			for _, line := range eventLines(ev, room{columns: columns, rows: 24}) {
				if got := runewidth.StringWidth(line); got > columns || strings.ContainsAny(line, "\x1b\u202e\u200d") {
					t.Fatalf("got %d columns, want %d at most, and nothing that controls the terminal: %q", got, columns, line)
				}
			}
		}
	}
}
