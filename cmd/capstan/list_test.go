package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// listed are tasks in several states, all of which changed at the same time of today, and the clock of that time.
func listed() (entries []inspect.Entry, at string) {
	now := time.Now()
	for _, e := range []inspect.Entry{
		{ID: "night-000017", State: inspect.State(task.Failed), Code: task.StepLimit, Batch: "night", Host: "shop.example.com", Owner: "worker-6f9c7d5b4-x2x9z", SubmittedAt: now.Add(-90 * time.Second), FinishedAt: now},
		{ID: "night-000018", State: inspect.State(task.Waiting), Batch: "night", Host: "日本.example", Owner: "worker-6f9c7d5b4-x2x9z", WaitsFor: task.ForPlan},
		{ID: "c4f0a8e2-7f1b-4c1e-9d53-3a1f0b6f2e11", State: inspect.Queued},
	} {
		e.ChangedAt = now
		entries = append(entries, e)
	}
	return entries, clock(now)
}

func TestAListShowsWhatFitsTheTerminal(t *testing.T) {
	entries, at := listed()
	for columns, want := range map[int]string{
		60: `
HH:MM:SS  night-000017                          ✗ step_limit
HH:MM:SS  night-000018                            waiting
HH:MM:SS  c4f0a8e2-7f1b-4c1e-9d53-3a1f0b6f2e11    queued`,
		80: `
HH:MM:SS  night-000017                          ✗ step_limit  ran 1m30s
HH:MM:SS  night-000018                            waiting     waits for a brows…
HH:MM:SS  c4f0a8e2-7f1b-4c1e-9d53-3a1f0b6f2e11    queued`,
		120: `
HH:MM:SS  night-000017                          ✗ step_limit  night  shop.example.com  ran 1m30s
HH:MM:SS  night-000018                            waiting     night  日本.example      waits for a browser of the plan
HH:MM:SS  c4f0a8e2-7f1b-4c1e-9d53-3a1f0b6f2e11    queued`,
		200: `
HH:MM:SS  night-000017                          ✗ step_limit  night  shop.example.com  worker-6f9c7d5b4-x2x9z  ran 1m30s
HH:MM:SS  night-000018                            waiting     night  日本.example      worker-6f9c7d5b4-x2x9z  waits for a browser of the plan
HH:MM:SS  c4f0a8e2-7f1b-4c1e-9d53-3a1f0b6f2e11    queued`,
	} {
		got := strings.Join(listLines(entries, room{columns: columns, rows: 24}), "\n")
		if want := strings.ReplaceAll(strings.TrimPrefix(want, "\n"), "HH:MM:SS", at); got != want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", columns, got, want)
		}
	}
}

func TestALongIDInAListIsWhole(t *testing.T) {
	now, id := time.Now(), strings.Repeat("ord-1842.", 6)+"x"
	entries := []inspect.Entry{
		{ID: id, State: inspect.State(task.Succeeded), Batch: "night", ChangedAt: now},
		{ID: "ord-1", State: inspect.Queued, Batch: "night", ChangedAt: now},
	}
	got := strings.Join(listLines(entries, room{columns: 60, rows: 24}), "\n")
	want := strings.ReplaceAll(`ID
HH:MM:SS         ✓ succeeded  night
HH:MM:SS  ord-1    queued     night`, "HH:MM:SS", clock(now))
	if want = strings.Replace(want, "ID", id, 1); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	entries[0].ID = strings.Repeat("x", 128)
	if got, want := listLines(entries, room{columns: 60, rows: 24})[0], strings.Repeat("x", 59)+"…"; got != want {
		t.Errorf("an id that is wider than the terminal: got %s, want %s", got, want)
	}
}

// The fields are those of the documents: time, id, state, code, batch, host, worker, detail.
func TestAListInAPipeIsForAwk(t *testing.T) {
	entries, _ := listed()
	long := strings.Repeat("long", 500)
	entries = append(entries, inspect.Entry{ID: "a b\x1b" + long, State: "succeeded", Batch: "日本 " + long, Host: long, ChangedAt: time.Now()})
	at := entries[0].ChangedAt.Local().Format(time.RFC3339)
	want := [][]string{
		{at, "night-000017", "failed", "step_limit", "night", "shop.example.com", "worker-6f9c7d5b4-x2x9z", "ran", "1m30s"},
		{at, "night-000018", "waiting", "-", "night", "日本.example", "worker-6f9c7d5b4-x2x9z", "waits", "for", "a", "browser", "of", "the", "plan"},
		{at, "c4f0a8e2-7f1b-4c1e-9d53-3a1f0b6f2e11", "queued", "-", "-", "-", "-", "-"},
		{at, `a\x20b\x1b` + long, "succeeded", "-", `日本\x20` + long, long, "-", "-"},
	}
	for i, line := range listLines(entries, room{}) {
		if got := strings.Fields(line); fmt.Sprint(got) != fmt.Sprint(want[i]) {
			t.Errorf("got %q, want the fields %q", line, want[i])
		}
	}
}

func TestNoLineOfAListIsWiderThanTheTerminal(t *testing.T) {
	t.Parallel()
	entries, _ := listed()
	evil := strings.Repeat("日本\u202e\x1b[2Jé👩‍🚀", 40)
	for i := range 40 {
		entries = append(entries, inspect.Entry{
			ID: evil[:i*7], State: inspect.State(task.Failed), Code: task.Code(evil), Batch: evil[i:], Host: evil, Owner: evil,
			WaitsFor: task.WaitReason(evil), ChangedAt: time.Now().AddDate(0, 0, -i),
		})
	}
	for columns := leastColumns; columns <= 250; columns++ {
		for _, line := range listLines(entries, room{columns: columns, rows: 24}) {
			if got := runewidth.StringWidth(line); got > columns || strings.ContainsAny(line, "\x1b\u202e\u200d") {
				t.Fatalf("got %d columns, want %d at most, and nothing that controls the terminal: %q", got, columns, line)
			}
		}
	}
}
