package steer_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestCancelMarksEachTaskThatHasNotEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Publish(operatortest.Request("queued"))
	s.WriteRecord(task.Record{TaskID: "waiting", State: task.Waiting})
	s.WriteRecord(task.Record{TaskID: "submitting", State: task.Submitting})
	s.WriteRecord(task.Record{TaskID: "running", State: task.Running, WorkflowID: "wf"})
	s.WriteRecord(task.Record{TaskID: "failed", State: task.Failed, ErrorCode: task.Timeout})
	s.Put("task_tracker", "newer", `{"task_id":"newer","state":"of a newer version"}`)
	got, err := steer.Cancel(t.Context(), s.Queue, []string{"queued", "waiting", "submitting", "running", "failed", "un.seen", "newer", "queued"}, why)
	if err != nil {
		t.Fatal(err)
	}
	want := []steer.CanceledTask{
		{TaskID: "queued", Stage: steer.StageQueued},
		{TaskID: "waiting", Stage: steer.StageWaiting},
		{TaskID: "submitting", Stage: steer.StageRunning},
		{TaskID: "running", Stage: steer.StageRunning},
		{TaskID: "failed", Stage: steer.StageEnded, Code: task.Timeout},
		{TaskID: "un.seen", Stage: steer.StageUnseen},
		{TaskID: "newer", Stage: steer.StageRunning},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	marks := s.marks()
	const mark = `{"reason":"wrong customer","by":"ada","at":"2026-01-02T03:04:05Z"} 168h0m0s`
	for _, id := range []string{"queued", "waiting", "submitting", "running", "un.seen", "newer"} {
		if marks["cancel."+id] != mark {
			t.Errorf("%s: got the mark %q, want %q", id, marks["cancel."+id], mark)
		}
	}
	if len(marks) != 6 {
		t.Errorf("got %v, want no other marks", marks)
	}
}

func TestManyTasksAreCanceledAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publishBatch("night", 1000)
	var ids []string
	for i := range 1000 {
		ids = append(ids, fmt.Sprint("night-", i))
	}
	got, err := steer.Cancel(t.Context(), s.Queue, ids, why)
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range got {
		if each.Stage != steer.StageQueued {
			t.Fatalf("got %+v, want it queued", each)
		}
	}
	if got := len(s.marks()); got != 1000 {
		t.Errorf("got %d marks, want 1000", got)
	}
}

func TestCancelingABatchSaysHowManyTasksThatEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.publishBatch("night", 5)
	s.publishBatch("day", 5)
	s.WriteRecord(task.Record{TaskID: "night-0", State: task.Running, WorkflowID: "wf", Batch: "night"})
	s.WriteRecord(task.Record{TaskID: "night-1", State: task.Waiting, Batch: "night"})
	s.WriteRecord(task.Record{TaskID: "night-99", State: task.Succeeded, Batch: "night"})
	s.WriteRecord(task.Record{TaskID: "day-1", State: task.Running, WorkflowID: `"night"`, Batch: "day"})
	got, err := steer.CancelBatch(t.Context(), s.Queue, "night", why)
	if err != nil {
		t.Fatal(err)
	}
	want := map[steer.Stage]int{steer.StageQueued: 3, steer.StageWaiting: 1, steer.StageRunning: 1}
	if !reflect.DeepEqual(got.Stages, want) || got.Ended != 1 || time.Until(got.Expires) < 167*time.Hour {
		t.Errorf("got %+v, want %v and 1 that had ended", got, want)
	}
	if got := fmt.Sprint(s.marks()); !strings.HasPrefix(got, `map[cancel-batch.night:{"reason":"wrong customer"`) {
		t.Errorf("got %v, want the mark of the batch", got)
	}
}

func TestCancelAndPauseCreateNoBucket(t *testing.T) {
	t.Parallel()
	s := newSite(t, "KV_task_control")
	_, cancelErr := steer.Cancel(t.Context(), s.Queue, []string{"a"}, why)
	_, batchErr := steer.CancelBatch(t.Context(), s.Queue, "night", why)
	_, pauseErr := steer.Pause(t.Context(), s.Queue, task.Pause{})
	_, resumeErr := steer.Resume(t.Context(), s.Queue)
	for _, err := range []error{cancelErr, batchErr, pauseErr, resumeErr} {
		if missing, ok := errors.AsType[*operator.MissingError](err); !ok || missing.Name != "task_control" || !strings.Contains(err.Error(), "start a worker first") {
			t.Errorf("got %v, want that the bucket is missing", err)
		}
	}
	if _, err := s.JS.Stream(t.Context(), "KV_task_control"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("got %v, want no bucket", err)
	}
}

// Workers do not read such a bucket, so a mark there would do nothing.
func TestABucketOfAnotherApplicationIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "KV_task_control")
	natstest.Stream(t, s.JS, jetstream.StreamConfig{Name: "KV_task_control", Subjects: []string{"$KV.task_control.>"}, MaxMsgsPerSubject: 1})
	_, err := steer.Cancel(t.Context(), s.Queue, []string{"a"}, why)
	if err == nil || !strings.Contains(err.Error(), "bucket task_control belongs to another application") {
		t.Errorf("got %v, want that the bucket belongs to another application", err)
	}
	if got := s.marks(); len(got) != 0 {
		t.Errorf("got %v, want no marks", got)
	}
}

func TestIDsAndBatchesThatCannotBeAreNotMarked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, id := range []string{"", "a b", ">", "*", "a..b", strings.Repeat("x", 129), "a\x00b"} {
		if _, err := steer.Cancel(t.Context(), s.Queue, []string{"good", id}, why); err == nil {
			t.Errorf("%q: got no error, want the rule of ids", id)
		}
		if _, err := steer.CancelBatch(t.Context(), s.Queue, id, why); err == nil {
			t.Errorf("%q: got no error, want the rule of batches", id)
		}
	}
	if got := s.marks(); len(got) != 0 {
		t.Errorf("got %v, want no marks", got)
	}
}
