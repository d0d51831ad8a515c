package inspect_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// someTasks fills a queue with tasks of two batches in all states.
func someTasks(d *desk) {
	for i := range 6 {
		batch := []string{"night", "day"}[i%2]
		d.Publish(operatortest.Request(fmt.Sprint("q", i), fmt.Sprintf(`"batch":%q`, batch)))
	}
	d.Take(2)
	d.WriteRecord(task.Record{TaskID: "q0", State: task.Waiting, WaitsFor: task.ForPlan, Batch: "night"})
	d.WriteRecord(task.Record{TaskID: "q1", State: task.Running, SubmittedAt: time.Now().Add(-time.Minute), Batch: "day"})
	for i := range 10 {
		end := time.Now().Add(-time.Duration(i) * time.Second).UTC()
		r := task.Record{TaskID: fmt.Sprint("done", i), State: task.Succeeded, Batch: "night", SubmittedAt: end.Add(-time.Minute), FinishedAt: end, UpdatedAt: end}
		if i >= 7 {
			r.State, r.ErrorCode, r.Batch = task.Failed, task.Timeout, "day"
		}
		d.WriteRecord(r)
	}
	d.WriteEvent(task.Event{TaskID: "bad", Status: task.Failed, Error: task.NewError(task.InvalidRequest, "x")}, "Capstan-Code", "invalid_request", "Capstan-Batch", "day")
	d.WriteEvent(task.Event{TaskID: "done9", Status: task.Failed, Error: task.NewError(task.Timeout, "x")}, "Capstan-Code", "timeout", "Capstan-Batch", "day")
}

func TestAStatusCountsEachTaskOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	someTasks(d)
	for batch, want := range map[string]inspect.Status{
		"":      {Queued: 4, Waiting: 1, Running: 1, Succeeded: 7, Failed: 4, FailedByCode: map[task.Code]int{task.Timeout: 3, task.InvalidRequest: 1}},
		"night": {Queued: 2, Waiting: 1, Succeeded: 7},
		"day":   {Queued: 2, Running: 1, Failed: 4, FailedByCode: map[task.Code]int{task.Timeout: 3, task.InvalidRequest: 1}},
		"other": {},
	} {
		got := d.look(inspect.NewView(d.Queue, batch))
		counts := func(s inspect.Status) string {
			return fmt.Sprintln(s.Queued, s.Waiting, s.Submitting, s.Running, s.Succeeded, s.Failed, s.QueuedAtLeast)
		}
		if counts(got) != counts(want) || !maps.Equal(got.FailedByCode, want.FailedByCode) {
			t.Errorf("batch %q: got %s %v, want %s %v", batch, counts(got), got.FailedByCode, counts(want), want.FailedByCode)
		}
		if len(got.Notes) != 0 || got.Limit.Held != 2 {
			t.Errorf("batch %q: got notes %q and %d in progress, want none and 2", batch, got.Notes, got.Limit.Held)
		}
	}
}

func TestASecondLookSeesWhatHasChanged(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	someTasks(d)
	all, night := inspect.NewView(d.Queue, ""), inspect.NewView(d.Queue, "night")
	d.look(all)
	d.look(night)
	d.Take(2) // q2 and q3, of which there is no record
	d.WriteRecord(task.Record{TaskID: "q2", State: task.Running, SubmittedAt: time.Now(), Batch: "night"})
	d.WriteRecord(task.Record{TaskID: "q0", State: task.Failed, ErrorCode: task.StepLimit, Batch: "night", FinishedAt: time.Now()})
	d.Publish(operatortest.Request("q9", `"batch":"night"`))
	if s := d.look(all); s.Queued != 4 || s.Running != 2 || s.Waiting != 0 || s.Failed != 5 || s.Succeeded != 7 {
		t.Errorf("all: got %+v", s)
	}
	if s := d.look(night); s.Queued != 2 || s.Running != 1 || s.Waiting != 0 || s.Failed != 1 || s.Succeeded != 7 {
		t.Errorf("night: got %+v", s)
	}
}

// A task that no worker can run ends as invalid_request, with a record. That is no refusal of a request, so it counts once.
func TestATaskThatNoWorkerCanRunIsNoRefusal(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	headers := []string{"Capstan-Code", "invalid_request", "Capstan-Batch", "night", "Capstan-Digest", "sha256:1"}
	ev := task.Event{TaskID: "a", Status: task.Failed, Batch: "night", Error: task.NewError(task.InvalidRequest, "session: needs workers with SESSIONS=on")}
	seq := d.WriteEvent(ev, headers...)
	d.WriteRecord(task.Record{TaskID: "a", State: task.Failed, ErrorCode: task.InvalidRequest, Batch: "night", ResultSeq: seq})
	refused := []string{"Capstan-Code", "invalid_request", "Capstan-Batch", "night"}
	d.WriteEvent(task.Event{TaskID: "b", Status: task.Failed, Batch: "night", Error: task.NewError(task.InvalidRequest, "x")}, refused...)
	d.WriteEvent(ev, append(headers, "Capstan-Replay", "true")...)
	if s := d.look(inspect.NewView(d.Queue, "night")); s.Failed != 2 || s.FailedByCode[task.InvalidRequest] != 2 {
		t.Errorf("got %d failed and %v, want the task and the refused request", s.Failed, s.FailedByCode)
	}
	if got := <-d.follow(t.Context()); got.err != nil || got.Tasks != 2 || got.Failed != 2 {
		t.Errorf("got %+v, want both", got)
	}
	if text, _, err := inspect.Why(t.Context(), d.Queue, "a", nil); err != nil || !strings.Contains(text, "with a new task_id") || strings.Contains(text, "keep its task_id") {
		t.Errorf("got %q, %v, want that it needs a new task_id", text, err)
	}
}

// Without it, a batch whose failed tasks were all run again, and succeeded, looks as bad as before.
func TestFailedTasksThatWereRunAgainAreCounted(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	failed := func(id string) {
		d.WriteRecord(task.Record{TaskID: id, State: task.Failed, ErrorCode: task.Timeout, Batch: "night"})
	}
	for _, id := range []string{"a", "b", "c", "c.r1", "d", "report.r7", "e"} {
		failed(id)
	}
	d.WriteRecord(task.Record{TaskID: "a.r1", State: task.Succeeded, Batch: "night"})
	d.WriteRecord(task.Record{TaskID: "b.r1", State: task.Running, WorkflowID: "wf", SubmittedAt: time.Now(), Batch: "day"})
	d.WriteRecord(task.Record{TaskID: "c.r2", State: task.Succeeded})
	d.WriteRecord(task.Record{TaskID: "x", State: task.Succeeded})
	d.WriteRecord(task.Record{TaskID: "x.r1", State: task.Failed, ErrorCode: task.Timeout})
	d.Publish(operatortest.Request("e.r1", `"batch":"night"`))
	d.Publish(operatortest.Request("d.r1", `"batch":"day"`)) // redriven with another batch
	if s := d.look(inspect.NewView(d.Queue, "night")); s.Redriven != 6 || s.Failed != 7 {
		t.Errorf("night: got %d of %d run again, want a, b, c, c.r1, d and e", s.Redriven, s.Failed)
	}
	if s := d.look(inspect.NewView(d.Queue, "")); s.Redriven != 4 || s.Failed != 8 {
		t.Errorf("all: got %d of %d run again, want those that a worker has begun", s.Redriven, s.Failed)
	}
}

// After a restore or a mistake the streams may be others than a moment ago.
func TestAViewOutlivesStreamsThatAreRecreated(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	someTasks(d)
	v := inspect.NewView(d.Queue, "night")
	d.look(v)
	for _, name := range []string{"TASKS", "KV_task_tracker", "TASK_RESULTS"} {
		d.Recreate(name)
	}
	d.Publish(operatortest.Request("new", `"batch":"night"`))
	if s := d.look(v); s.Queued != 1 || s.Succeeded != 0 {
		t.Errorf("got %+v, want the one new request", s)
	}
}

func TestAStatusForeseesWhenABatchIsDone(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.AnswerAsWorker(fleet.Status{Worker: "w1", Version: "v1", Submissions: "ok"})
	d.Put("task_control", "limits", `{"in_flight":10,"plan":10,"reason":"the plan runs 10 browsers","changed_at":"2026-11-26T02:00:00Z"}`)
	for i := range 40 { // ten a minute
		end := time.Now().Add(-time.Duration(i) * 6 * time.Second).UTC()
		d.WriteRecord(task.Record{TaskID: fmt.Sprint("d", i), State: task.Succeeded, SubmittedAt: end.Add(-time.Minute), FinishedAt: end, UpdatedAt: end})
	}
	for i := range 120 {
		batch := "first"
		if i >= 20 {
			batch = "second"
		}
		d.Publish(operatortest.Request(fmt.Sprint("q", i), fmt.Sprintf(`"batch":%q`, batch)))
	}
	for batch, want := range map[string]time.Duration{"": 12 * time.Minute, "first": 2 * time.Minute, "second": 12 * time.Minute} {
		s := d.look(inspect.NewView(d.Queue, batch))
		if got := s.Done.At.Sub(s.At); (got - want).Abs() > want/4 {
			t.Errorf("batch %q: got %v (%s), want about %v", batch, got, s.Done.Unknown, want)
		}
		if s.PerMinute < 8 || s.PerMinute > 12 || s.Limit.Plan != 10 || s.Limit.InFlight != 10 {
			t.Errorf("batch %q: got %v a minute and limit %+v, want about 10", batch, s.PerMinute, s.Limit)
		}
	}
	d.Put("task_control", "pause", `{"reason":"maintenance","by":"ada"}`)
	s := d.look(inspect.NewView(d.Queue, ""))
	if s.Done.IsKnown() || !strings.Contains(s.Done.Unknown, "paused by ada: maintenance") || len(s.Pauses) != 1 || s.Pauses[0].By != "operator" {
		t.Errorf("paused: got %+v and pauses %+v, want the end unknown", s.Done, s.Pauses)
	}
	until := time.Now().Add(3 * time.Hour).UTC()
	d.Put("task_control", "pause", fmt.Sprintf(`{"until":%q}`, until.Format(time.RFC3339)))
	if s := d.look(inspect.NewView(d.Queue, "")); s.Done.At.Before(until) || s.Done.At.After(until.Add(time.Hour)) {
		t.Errorf("paused until %v: got %+v, want it after that", until, s.Done)
	}
	d.Put("task_control", "pause", `{"until":"2020-01-02T03:04:05Z"}`)
	if s := d.look(inspect.NewView(d.Queue, "")); !s.Done.IsKnown() || len(s.Pauses) != 0 {
		t.Errorf("a pause that is over: got %+v, %+v", s.Done, s.Pauses)
	}
}

func TestAStatusDoesNotGuessWithoutWorkers(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	old := time.Now().Add(-10 * time.Minute).UTC()
	for i := range 10 {
		end := old.Add(-time.Duration(i) * time.Second)
		d.WriteRecord(task.Record{TaskID: fmt.Sprint("d", i), State: task.Succeeded, SubmittedAt: end.Add(-time.Second), FinishedAt: end, UpdatedAt: end})
	}
	d.Publish(operatortest.Request("a"))
	if s := d.look(inspect.NewView(d.Queue, "")); s.Done.Unknown != "no worker answers" {
		t.Errorf("got %+v, want that no worker answers", s.Done)
	}
	d.WriteRecord(task.Record{TaskID: "r", State: task.Running, WorkflowID: "wf", SubmittedAt: old.Add(-time.Second), UpdatedAt: old})
	text, _, err := inspect.Why(t.Context(), d.Queue, "r", nil)
	if err != nil || !strings.HasSuffix(text, "When it will end is not known: no worker answers.") {
		t.Errorf("got %q, %v, want no end of a running task either", text, err)
	}
	d.AnswerAsWorker(fleet.Status{Worker: "w1", Submissions: "paused until 02:00: no credits"})
	s := d.look(inspect.NewView(d.Queue, ""))
	if s.Done.Unknown != "nothing has happened for a while" || len(s.Pauses) != 1 || s.Pauses[0].By != "w1" {
		t.Errorf("got %+v, %+v, want the worker's pause", s.Done, s.Pauses)
	}
}

func TestAStatusWithoutStreams(t *testing.T) {
	t.Parallel()
	d := bareDesk(t)
	if _, err := inspect.NewView(d.Queue, "").Status(t.Context()); err == nil || !strings.Contains(err.Error(), "start a worker first") {
		t.Errorf("none: got %v, want what to do", err)
	}
	d = newDesk(t)
	d.Publish(operatortest.Request("a"))
	if err := d.JS.DeleteKeyValue(t.Context(), "task_tracker"); err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{"TASK_RESULTS", "KV_task_control"} {
		if err := d.JS.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	if s := d.look(inspect.NewView(d.Queue, "")); s.Queued != 1 || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "task_tracker") {
		t.Errorf("got %+v, want the queued one, and a note on the bucket", s)
	}
}

// The names are public.
func TestTheJSONOfAStatusHasStableNames(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Publish(operatortest.Request("a"))
	var got map[string]any
	if err := json.Unmarshal([]byte(jsonOf(t, d.look(inspect.NewView(d.Queue, "night")))), &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"at", "batch", "queued", "waiting", "submitting", "running", "succeeded", "failed", "per_minute", "limit", "workers"} {
		if _, ok := got[name]; !ok {
			t.Errorf("got %v, want %s in it", got, name)
		}
	}
}
