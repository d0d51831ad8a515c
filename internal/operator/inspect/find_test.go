package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestEachStateOfATaskIsToldApart(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.WriteRecord(task.Record{TaskID: "waits", State: task.Waiting, WaitsFor: task.ForPlan})
	d.WriteRecord(task.Record{TaskID: "posts", State: task.Submitting})
	d.WriteRecord(task.Record{TaskID: "runs", State: task.Running})
	done := d.WriteEvent(task.Event{TaskID: "done", Status: task.Succeeded, Result: []byte(`{"a":1}`)})
	d.WriteRecord(task.Record{TaskID: "done", State: task.Succeeded, ResultSeq: done})
	failed := d.WriteEvent(task.Event{TaskID: "failed", Status: task.Failed, Error: task.NewError(task.Timeout, "too long")})
	d.WriteRecord(task.Record{TaskID: "failed", State: task.Failed, ErrorCode: task.Timeout, ResultSeq: failed})
	canceled := d.WriteEvent(task.Event{TaskID: "canceled", Status: task.Failed, Error: task.NewError(task.Canceled, "canceled")})
	d.WriteRecord(task.Record{TaskID: "canceled", State: task.Failed, ErrorCode: task.Canceled, ResultSeq: canceled})
	d.WriteEvent(task.Event{TaskID: "refused", Status: task.Failed, Error: task.NewError(task.InvalidRequest, "prompt is required")})
	d.WriteEvent(task.Event{TaskID: "old", Status: task.Succeeded})
	d.WriteRecord(task.Record{TaskID: "forgotten", State: task.Succeeded, ResultSeq: 1000})
	d.Publish(operatortest.Request("first"))
	d.Take(1)
	d.Publish(operatortest.Request("second"))
	d.Publish(operatortest.Request("third"))
	for id, want := range map[string]inspect.State{
		"waits": "waiting", "posts": "submitting", "runs": "running", "done": "succeeded", "failed": "failed", "forgotten": "succeeded",
		"canceled": inspect.Canceled, "refused": inspect.Refused, "old": "succeeded", "second": inspect.Queued, "nobody": inspect.Unknown,
	} {
		if got := d.find(id); got.State != want || got.ID != id {
			t.Errorf("%s: got %s %s, want %s", id, got.ID, got.State, want)
		}
	}
	if got := d.find("third"); got.Position != 2 || got.QueuedAt.IsZero() {
		t.Errorf("got place %d, queued at %v, want the second of those that no worker has taken", got.Position, got.QueuedAt)
	}
	if got := d.find("done"); got.Event == nil || string(got.Event.Result) != `{"a":1}` || got.Record == nil {
		t.Errorf("got %+v, want its record and event", got)
	}
	if got := d.find("forgotten"); got.Event != nil {
		t.Errorf("got %+v, want no event: it has expired", got.Event)
	}
}

// A request may get its id from itself, from its publisher, or from its place in the stream.
func TestAQueuedTaskIsFoundByTheIDThatItWillHave(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Publish(operatortest.Request("", `"model":"m"`))
	d.Publish(operatortest.Request("", `"model":"m"`), nats.MsgIdHdr, "header")
	d.Publish(`{"task_id":"broken`)
	d.Publish(strings.Repeat("x", 900_000))
	d.Publish(operatortest.Request("own"), nats.MsgIdHdr, "other")
	for id, want := range map[string]int{"TASKS-1": 1, "header": 2, "TASKS-3": 3, "TASKS-4": 4, "own": 5} {
		if got := d.find(id); got.State != inspect.Queued || got.Position != want {
			t.Errorf("%s: got %s at %d, want it queued at %d", id, got.State, got.Position, want)
		}
	}
	for _, id := range []string{"other", "TASKS-5", "TASKS-6", "TASKS-99999999999999999999999"} {
		if got := d.find(id); got.State != inspect.Unknown {
			t.Errorf("%s: got %s, want no trace", id, got.State)
		}
	}
}

// After a refusal the corrected request has the same id.
func TestACorrectedRequestIsQueuedAndNotRefused(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.WriteEvent(task.Event{TaskID: "a", Status: task.Failed, Error: task.NewError(task.InvalidRequest, "prompt is required")})
	d.Publish(operatortest.Request("a"))
	if got := d.find("a"); got.State != inspect.Queued {
		t.Errorf("got %s, want queued", got.State)
	}
}

func TestAMarkOfACancelIsShownUntilTheTaskEnds(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Publish(operatortest.Request("a"))
	d.Publish(operatortest.Request("b", `"batch":"night"`))
	d.WriteRecord(task.Record{TaskID: "c", State: task.Running, Batch: "night"})
	d.WriteRecord(task.Record{TaskID: "d", State: task.Succeeded, Batch: "night"})
	d.Put("task_control", "cancel.a", "wrong customer")
	d.Put("task_control", "cancel-batch.night", `{"reason":"too late","by":"ada"}`)
	for id, want := range map[string]string{"a": "canceled: wrong customer", "b": "canceled by ada: too late", "c": "canceled by ada: too late"} {
		if got := d.find(id).Cancel; got == nil || got.String() != want {
			t.Errorf("%s: got %v, want %s", id, got, want)
		}
	}
	if got := d.find("d").Cancel; got != nil {
		t.Errorf("got %v, want no mark: the task has ended", got)
	}
}

func TestTheNextPollIsAskedForOnlyWhileATaskRuns(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.WriteRecord(task.Record{TaskID: "a", State: task.Running})
	d.WriteRecord(task.Record{TaskID: "b", State: task.Waiting})
	ask := func(_ context.Context, id string) time.Time {
		if id != "a" {
			t.Errorf("got a question about %s", id)
		}
		return night
	}
	for id, want := range map[string]time.Time{"a": night, "b": {}} {
		if got, err := inspect.Find(t.Context(), d.Queue, id, ask); err != nil || !got.NextPoll.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", id, got.NextPoll, err, want)
		}
	}
}

func TestWithoutStreamsTheBucketThatIsMissingIsNamed(t *testing.T) {
	t.Parallel()
	d := bareDesk(t)
	_, err := inspect.Find(t.Context(), d.Queue, "a", nil)
	missing, ok := errors.AsType[*operator.MissingError](err)
	if !ok || missing.Name != "task_tracker" {
		t.Errorf("got %v, want the bucket", err)
	}
}

func TestABrokenRecordIsToldAsOne(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Put("task_tracker", "a", "no record")
	if _, err := inspect.Find(t.Context(), d.Queue, "a", nil); err == nil || !strings.Contains(err.Error(), "task a: parse record") {
		t.Errorf("got %v, want the task and the reason", err)
	}
}

// Two versions may work side by side. The older tool shows what it understands, and counts the task as open.
func TestATaskOfANewerVersionIsShown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.AnswerAsWorker(fleet.Status{Worker: "w1", Submissions: "ok"})
	d.Put("task_tracker", "b", fmt.Sprintf(`{"task_id":"b","state":"moon","batch":"night","updated_at":%q}`, time.Now().UTC().Format(time.RFC3339)))
	text, found, err := inspect.Why(t.Context(), d.Queue, "b", nil)
	if err != nil || found.State != "moon" || !strings.Contains(text, `b is "moon", a state of a newer version`) {
		t.Errorf("got %q, %q, %v, want its state", text, found.State, err)
	}
	s := d.look(inspect.NewView(d.Queue, "night"))
	if s.Other != 1 || s.Open() != 1 || s.Queued != 0 || s.Done.Unknown != "the open tasks are in a state of a newer version" {
		t.Errorf("got %+v, want it open", s)
	}
	entries, _, err := inspect.List(t.Context(), d.Queue, inspect.Listing{})
	if err != nil || len(entries) != 1 || entries[0].State != "moon" {
		t.Errorf("got %+v, %v, want the task", entries, err)
	}
}

func TestOfManyQueuedRequestsTheLastIsFound(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const many = 5000
	for i := range many {
		if _, err := d.JS.PublishAsync("tasks.request", []byte(operatortest.Request(fmt.Sprint("t", i))), jetstream.WithStallWait(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	<-d.JS.PublishAsyncComplete()
	if got := d.find(fmt.Sprint("t", many-1)); got.Position < many-300 || got.Position > many { // PublishAsync keeps the order of most
		t.Errorf("got place %d, want about %d", got.Position, many)
	}
}
