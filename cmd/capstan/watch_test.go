package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestWatchPrintsWhatItsFiltersTakeAndEnds(t *testing.T) {
	c := newReader(t)
	at := time.Now()
	c.store(t, "a", false, task.Event{TaskID: "a", Status: task.Succeeded, Batch: "night", FinishedAt: at})
	c.store(t, "b", false, task.Event{TaskID: "b", Status: task.Failed, Batch: "night", FinishedAt: at, Error: task.NewError(task.Timeout, "x")})
	c.store(t, "c", false, task.Event{TaskID: "c", Status: task.Failed, FinishedAt: at, Error: task.NewError(task.StepLimit, "x")})
	if _, err := c.js.Publish(t.Context(), "tasks.result", []byte("no event")); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":                                       "a b c",
		"--all":                                  "a b c",
		"--since=1h":                             "a b c",
		"--failed":                               "b c",
		"--code=timeout":                         "b",
		"--code=timeout,step_limit":              "b c",
		"--batch=night":                          "a b",
		"--batch=night --failed":                 "b",
		"--batch=other":                          "",
		"--task=a --task=c":                      "a c",
		"--task=a --failed":                      "",
		"--failed --json":                        "b c",
		"--task=b --batch=night --code=rejected": "",
	} {
		status, out, errs := runTool(t, append([]string{"watch", "--until-now"}, strings.Fields(args)...)...)
		var ids []string
		for line := range strings.Lines(out) {
			if id, ok := strings.CutPrefix(line, `{"task_id":"`); ok {
				ids = append(ids, id[:1])
			} else {
				ids = append(ids, strings.Fields(line)[1])
			}
		}
		if got := strings.Join(ids, " "); status != exitOK || got != want {
			t.Errorf("%s: got %d, %q, %s, want %q", args, status, got, errs, want)
		}
	}
}

func TestWatchUntilDoneTellsHowTheBatchEnded(t *testing.T) {
	c := newReader(t)
	end := func(id, batch string, code task.Code) {
		ev, rec := task.Event{TaskID: id, Status: task.Succeeded, Batch: batch}, task.Record{TaskID: id, State: task.Succeeded, Batch: batch, UpdatedAt: time.Now()}
		if code != "" {
			ev.Status, ev.Error, rec.State, rec.ErrorCode = task.Failed, task.NewError(code, "x"), task.Failed, code
		}
		c.store(t, id, false, ev)
		c.put(t, "task_tracker", id, string(rec.JSON()))
	}
	for i := range 3 {
		end(fmt.Sprint("good", i), "good", "")
		end(fmt.Sprint("bad", i), "bad", task.Timeout)
	}
	for batch, want := range map[string]struct {
		status, lines int
		says          string
	}{
		"good":  {exitOK, 3, "the batch has ended: 3 tasks succeeded"},
		"bad":   {exitFailed, 3, "the batch has ended: 3 of 3 tasks failed"},
		"other": {exitFailed, 0, `no task of batch "other" is known`},
	} {
		status, out, errs := runTool(t, "watch", "--until-done", "--batch", batch)
		if status != want.status || strings.Count(out, "\n") != want.lines || !strings.Contains(errs, want.says) {
			t.Errorf("%s: got %d, %s%s, want %d, %d lines and %q", batch, status, out, errs, want.status, want.lines, want.says)
		}
	}
}
