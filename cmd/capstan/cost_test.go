package main

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/batch"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAStatusSaysWhatTasksUsedIfThatIsKnown(t *testing.T) {
	c := newReader(t)
	write := func(r task.Record) {
		r.RequestedAt, r.UpdatedAt = time.Now(), time.Now()
		c.put(t, "task_tracker", r.TaskID, string(r.JSON()))
	}
	write(task.Record{TaskID: "old", State: task.Failed})
	for _, args := range [][]string{{"status"}, {"status", "--json"}} {
		if status, out, errs := runTool(t, args...); status != exitOK || strings.Contains(out, "cost") {
			t.Errorf("%v: got %d, %s%s, want nothing of a cost", args, status, out, errs)
		}
	}
	write(task.Record{TaskID: "a", State: task.Succeeded, Steps: new(10), Credits: new(0.1)})
	write(task.Record{TaskID: "b", State: task.Failed, Steps: new(5), Credits: new(0.2)})
	if _, out, _ := runTool(t, "status"); !strings.Contains(out, "\ncost        15 steps and 0.3 credits in 2 tasks; of these 5 steps and 0.2 credits in 1 task that failed\n") {
		t.Errorf("got %s, want the cost", out)
	}
	_, out, _ := runTool(t, "status", "--json")
	text := strings.Join(strings.Fields(out), "")
	if want := `"cost":{"steps":15,"steps_known":2,"credits":0.3,"credits_known":2},"failed_cost":{"steps":5,"steps_known":1,"credits":0.2,"credits_known":1}`; !strings.Contains(text, want) {
		t.Errorf("got %s, want %s in it", text, want)
	}
}

func TestTheEndOfABatchSaysWhatItsTasksUsed(t *testing.T) {
	tally := batch.Tally{All: 3, Ended: 2, Succeeded: 2}
	if got, want := tallyText(tally), "2 of 3 have ended: 2 succeeded, 0 failed"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	tally.Cost = operator.Cost{Steps: 15, StepsKnown: 2, Credits: 0.3, CreditsKnown: 2}
	if got, want := tallyText(tally), "2 of 3 have ended: 2 succeeded, 0 failed; they used 15 steps and 0.3 credits in 2 tasks"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
