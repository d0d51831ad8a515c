package main

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// getAt returns what capstan get shows of a task in this room.
func getAt(t *testing.T, size room, shown inspect.Task) string {
	t.Helper()
	term, out := testTerminal(nil)
	term.size = func() room { return size }
	if err := (shownTask{shown}).print(term); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// A workflow id that does not fit beside its name has a line of its own, from which it can be copied.
func TestATaskIsShownInTheWidthOfTheTerminal(t *testing.T) {
	at := time.Date(2025, 3, 4, 5, 6, 7, 0, time.Local)
	id := "perform-web-task-execution-eb2eaa7a-7f1b-4c1e-9d53"
	shown := inspect.Task{
		ID: "ord-1842", State: inspect.State(task.Failed),
		Record: &task.Record{
			TaskID: "ord-1842", State: task.Failed, Batch: "night", Host: "shop.example.com", Owner: "worker-6f9c7d5b4-x2x9z", Epoch: 1,
			WorkflowID: id, RequestedAt: at, SubmittedAt: at.Add(400 * time.Millisecond), Attempts: 1, Polls: 9,
		},
		Event: &task.Event{TaskID: "ord-1842", Status: task.Failed, Error: task.NewError(task.StepLimit, "the agent used all of its 20 steps and had not found the price by then")},
	}
	for columns, want := range map[int]string{
		60: `task       ord-1842
state      ✗ step_limit
batch      night
host       shop.example.com
owner      worker-6f9c7d5b4-x2x9z, epoch 1
workflow
ID
requested  2025-03-04 05:06:07
submitted  2025-03-04 05:06:07 +0.40s
attempts   1
polls      9

the agent used all of its 20 steps and had not found the
price by then
`,
		80: `task       ord-1842
state      ✗ step_limit
batch      night
host       shop.example.com
owner      worker-6f9c7d5b4-x2x9z, epoch 1
workflow   ID
requested  2025-03-04 05:06:07
submitted  2025-03-04 05:06:07 +0.40s
attempts   1
polls      9

the agent used all of its 20 steps and had not found the price by then
`,
	} {
		got := strings.ReplaceAll(getAt(t, room{columns: columns, rows: 24}, shown), id, "ID")
		if got != want {
			t.Errorf("%d columns: got\n%s\nwant\n%s", columns, got, want)
		}
	}
}

// Each line begins with one word that is the name of what follows.
func TestATaskInAPipeIsForAwk(t *testing.T) {
	at := time.Date(2025, 3, 4, 5, 6, 7, 0, time.Local)
	clock, long := at.Format(time.RFC3339), strings.Repeat("long ", 500)
	for want, shown := range map[string]inspect.Task{
		"task a|state waiting|reason waits for a browser of the plan until " + clock + "|batch " + strings.TrimSpace(long) + "|owner w, epoch 2|requested " + clock + "|attempts 0|polls 0": {
			ID: "a", State: "waiting", Record: &task.Record{
				TaskID: "a", State: task.Waiting, WaitsFor: task.ForPlan, WaitsUntil: at, Batch: long, Owner: "w", Epoch: 2, RequestedAt: at,
			},
		},
		"task b|state queued|position 3|queued " + clock: {ID: "b", State: inspect.Queued, Position: 3, QueuedAt: at},
		"task c|state failed|code timeout|owner w, epoch 1|requested " + clock + "|attempts 1|polls 0|run_1 timeout wf-1|run_2 - -|next_poll " + clock: {
			ID: "c", State: "failed", NextPoll: at, Record: &task.Record{
				TaskID: "c", State: task.Failed, ErrorCode: task.Timeout, Owner: "w", Epoch: 1, RequestedAt: at, Attempts: 1,
				Runs: []task.Run{{Code: task.Timeout, WorkflowID: "wf-1"}, {}},
			},
		},
	} {
		var got []string
		for line := range strings.Lines(getAt(t, room{}, shown)) {
			got = append(got, strings.Join(strings.Fields(line), " "))
		}
		if text := strings.Join(got, "|"); text != want {
			t.Errorf("got  %.300q\nwant %.300q", text, want)
		}
	}
}
