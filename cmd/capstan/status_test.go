package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/forecast"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// crowded is a status with more than fits on a screen.
func crowded() inspect.Status {
	now := time.Now()
	s := inspect.Status{
		At: now, Batch: strings.Repeat("b", 64), Queued: 200_000, QueuedAtLeast: true, Waiting: 12, Submitting: 3, Running: 10, Succeeded: 900_000, Failed: 5000,
		WaitsFor: map[task.WaitReason]int{task.ForPlan: 7, task.ForRate: 2},
		Cost:     operator.Cost{Steps: 1e9, StepsKnown: 905_000, Credits: 1234567.89, CreditsKnown: 905_000}, FailedCost: operator.Cost{Steps: 1e6, StepsKnown: 5000, Credits: 4567.89, CreditsKnown: 5000},
		FailedByCode: map[task.Code]int{}, PerMinute: 123.456, Done: forecast.Estimate{At: now.Add(5 * time.Hour), From: now.Add(4 * time.Hour), To: now.Add(80 * time.Hour)},
		Limit: inspect.LimitUse{InFlight: 25, Plan: 25, Held: 25, Reason: strings.Repeat("long ", 100)},
	}
	for i, code := range task.Codes() {
		s.FailedByCode[code] = i
	}
	for i := range 100 {
		s.Workers = append(s.Workers, fleet.Status{Worker: fmt.Sprint("worker-", i), Version: "v1.2.3", InProgress: 3, Running: 2})
		s.Pauses = append(s.Pauses, inspect.PausedBy{By: "worker", Reason: strings.Repeat("no credits ", 20)})
		s.Notes = append(s.Notes, strings.Repeat("missing ", 50))
	}
	return s
}

func TestAStatusFitsOnOneScreen(t *testing.T) {
	for columns := leastColumns; columns <= 250; columns++ {
		for _, rows := range []int{24, 50} {
			lines := statusLines(crowded(), room{columns: columns, rows: rows})
			if len(lines) >= rows || len(lines) < rows-3 {
				t.Fatalf("%d columns: got %d lines, want about %d, and the prompt below:\n%s", columns, len(lines), rows-1, strings.Join(lines, "\n"))
			}
			for _, line := range lines {
				if runewidth.StringWidth(line) > columns {
					t.Fatalf("got %d columns, want %d at most: %s", runewidth.StringWidth(line), columns, line)
				}
			}
		}
	}
	got := strings.Join(statusLines(crowded(), room{columns: 80, rows: 24}), "\n")
	for _, want := range []string{
		"200012 or more (200000 queued, 12 on workers: plan 7, rate 2)", "13 (3 of them being submitted)", "123 tasks a minute", "in 5h00m (between ",
		"and 98 more", "worker-0 v1.2.3 3 in progress, 2 of them run", "timeout 10,\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %q in it", got, want)
		}
	}
}

// A line that continues another one begins with a name as well.
func TestAStatusInAPipeIsForAwk(t *testing.T) {
	s := crowded()
	lines, names := statusLines(s, room{}), map[string]int{}
	for _, line := range lines {
		names[strings.Fields(line)[0]]++
	}
	want := map[string]int{
		"batch": 1, "waiting": 1, "running": 1, "ended": 1, "failed": 1, "cost": 1, "rate": 1, "done": 1, "limit": 1, "paused": 100, "workers": 1, "worker": 100, "note": 100,
	}
	if !maps.Equal(names, want) {
		t.Errorf("got lines named %v, want %v", names, want)
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{"\nwaiting     200012 or more", "\nrunning     13 ", s.Limit.Reason[:499], strings.TrimSpace(s.Notes[0])} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%.2000s\nwant %q in it", text, want)
		}
	}
}

func TestALongReasonOfAPauseIsShownWhole(t *testing.T) {
	reason := "the shop is being updated, and its prices are wrong until then"
	s := inspect.Status{At: time.Now(), Pauses: []inspect.PausedBy{
		{By: inspect.ByOperator, Operator: "ada", Reason: reason, Until: time.Now().AddDate(0, 0, 2)},
		{By: strings.Repeat("worker-6f9c7d5b4-x2x9z, ", 20), Reason: "paused until 2026-11-26T02:00:00Z: no_credits: the account has no credits"},
	}}
	got := strings.Join(strings.Fields(strings.Join(statusLines(s, room{columns: 80, rows: 24}), "\n")), " ")
	for _, want := range []string{"paused paused by ada until " + inspect.Clock(s.Pauses[0].Until, s.At) + ": " + reason, "x2x9z,…: " + s.Pauses[1].Reason + " workers"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant %q in it", got, want)
		}
	}
}

func TestAStatusSaysWhatIsNotKnown(t *testing.T) {
	for want, s := range map[string]inspect.Status{
		"there are no tasks":                                         {},
		"no task of this batch is known":                             {Batch: "b"},
		"all have ended":                                             {Succeeded: 1},
		"unknown: no worker answers":                                 {Queued: 1, Done: forecast.Estimate{Unknown: "no worker answers"}},
		"unknown: too few tasks have ended":                          {Queued: 1},
		"not known yet: no worker has run":                           {},
		"none answers":                                               {},
		"3 of 25 tasks in progress":                                  {Limit: inspect.LimitUse{InFlight: 25, Held: 3}},
		"10 of 10 tasks in progress, plan 25 (the API refused more)": {Limit: inspect.LimitUse{InFlight: 10, Held: 10, Plan: 25, Reason: "the API refused more"}},
		"1 succeeded, 3 failed (2 of them run again)":                {Succeeded: 1, Failed: 3, Redriven: 2},
		"other       2 in a state that only a newer":                 {Other: 2},
		"0.5 tasks a minute":                                         {PerMinute: 0.5},
		"paused      paused by ada: wrong prices":                    {Pauses: []inspect.PausedBy{{By: "operator", Operator: "ada", Reason: "wrong prices"}}},
	} {
		s.At = time.Now()
		if got := strings.Join(statusLines(s, room{columns: 80, rows: 24}), "\n"); !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %q in it", got, want)
		}
	}
}

func TestAScreenIsRedrawnInItsPlace(t *testing.T) {
	term, out := testTerminal(nil)
	s := &screen{t: term, redraws: true}
	s.show([]string{"a", "b"})
	s.show([]string{"c"})
	s.forget()
	s.show([]string{"d"})
	if got, want := out.String(), "a\nb\n\x1b[2A\x1b[Jc\nd\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	term, out = testTerminal(nil)
	s = &screen{t: term}
	s.show([]string{"a"})
	s.show([]string{"b"})
	if got, want := out.String(), "a\n\nb\n"; got != want {
		t.Errorf("no terminal: got %q, want %q", got, want)
	}
}

// The lines of before may stand anywhere then. Those for which there are too few rows would move the screen.
func TestAScreenIsDrawnAnewInATerminalOfAnotherSize(t *testing.T) {
	term, out := testTerminal(nil)
	size := room{columns: 80, rows: 24}
	term.size = func() room { return size }
	s := &screen{t: term, redraws: true}
	s.show([]string{"a", "b"})
	size.columns, size.rows = 60, 3
	s.show([]string{"c", "d", "e"})
	s.show([]string{"f"})
	if got, want := out.String(), "a\nb\n\x1b[H\x1b[2Jc\nd\n\x1b[2A\x1b[Jf\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAWatchedStatusLooksAgain(t *testing.T) {
	c := newReader(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	term, out := testTerminal(nil)
	ended := make(chan error, 1)
	go func() { ended <- (&statusCmd{Watch: true, JSON: true}).Run(ctx, term) }()
	out.await(t, `"queued":0`)
	if _, err := c.js.Publish(t.Context(), "tasks.request", []byte(`{"task_id":"a"}`)); err != nil {
		t.Fatal(err)
	}
	out.await(t, `"queued":1`)
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("got %s, want a document on each line", line)
		}
	}
}
