package inspect_test

import (
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/task"
)

// useSessions stores tasks that used browser sessions, and some of which nothing is known.
func useSessions(d *desk) {
	for _, r := range []task.Record{
		{TaskID: "a", State: task.Succeeded, Batch: "night", Steps: new(10), Credits: new(0.1)},
		{TaskID: "b", State: task.Succeeded, Batch: "night", Steps: new(5), Credits: new(0.2)},
		{TaskID: "c", State: task.Failed, Batch: "night", ErrorCode: task.Timeout, Steps: new(100), Credits: new(4.0)},
		{TaskID: "d", State: task.Failed, Batch: "day", ErrorCode: task.Canceled, Steps: new(0)},
		{TaskID: "e", State: task.Succeeded, Batch: "old"},
		{TaskID: "f", State: task.Running, Batch: "night", Run: 1, Steps: new(7), Credits: new(7.0)}, // not the task's
	} {
		d.WriteRecord(r)
	}
}

func TestAStatusAddsUpWhatTasksUsed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	useSessions(d)
	for batch, want := range map[string][2]operator.Cost{
		"":      {{Steps: 115, StepsKnown: 4, Credits: 4.3, CreditsKnown: 3}, {Steps: 100, StepsKnown: 2, Credits: 4, CreditsKnown: 1}},
		"night": {{Steps: 115, StepsKnown: 3, Credits: 4.3, CreditsKnown: 3}, {Steps: 100, StepsKnown: 1, Credits: 4, CreditsKnown: 1}},
		"day":   {{StepsKnown: 1}, {StepsKnown: 1}},
		"old":   {},
	} {
		s := d.look(inspect.NewView(d.Queue, batch))
		if got := [2]operator.Cost{s.Cost, s.FailedCost}; got != want {
			t.Errorf("batch %q: got %+v, want %+v", batch, got, want)
		}
		text := jsonOf(t, s)
		if isThere := strings.Contains(text, `"cost":{`) && strings.Contains(text, `"failed_cost":{`); isThere == (batch == "old") {
			t.Errorf("batch %q: got %s, want the cost in it only where some is known", batch, text)
		}
	}
	if got, want := jsonOf(t, d.look(inspect.NewView(d.Queue, "")).Cost), `{"steps":115,"steps_known":4,"credits":4.3,"credits_known":3}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEachBatchHasItsCost(t *testing.T) {
	t.Parallel()
	tally := inspect.NewTally(night)
	tally.Add(task.Record{TaskID: "a", State: task.Succeeded, Batch: "night", Steps: new(10), Credits: new(0.1)})
	tally.Add(task.Record{TaskID: "b", State: task.Failed, Batch: "night", Steps: new(1), Credits: new(0.2)})
	tally.Add(task.Record{TaskID: "c", State: task.Failed, Batch: "old"})
	for _, c := range inspect.NewSnapshot(inspect.Status{}, operator.Line{}, tally).Batches() {
		want := map[string]string{"night": "11 steps and 0.3 credits in 2 tasks; of these 1 step and 0.2 credits in 1 task that failed"}[c.Batch]
		if got := operator.CostText(c.Cost, c.FailedCost); got != want {
			t.Errorf("batch %s: got %q, want %q", c.Batch, got, want)
		}
	}
}
