package steer_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/operator/steer"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestACancellationIsTakenBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Publish(operatortest.Request("queued", `"batch":"night"`))
	s.WriteRecord(task.Record{TaskID: "running", State: task.Running, WorkflowID: "wf"})
	if _, err := steer.Cancel(t.Context(), s.Queue, []string{"queued", "running", "un.seen", "other"}, why); err != nil {
		t.Fatal(err)
	}
	if _, err := steer.CancelBatch(t.Context(), s.Queue, "night", why); err != nil {
		t.Fatal(err)
	}
	s.WriteRecord(task.Record{TaskID: "running", State: task.Failed, ErrorCode: task.Canceled})
	got, err := steer.UndoCancel(t.Context(), s.Queue, []string{"queued", "running", "un.seen", "never", "queued"})
	if err != nil {
		t.Fatal(err)
	}
	want := []steer.UndoneTask{
		{CanceledTask: steer.CanceledTask{TaskID: "queued", Stage: steer.StageQueued}, Was: &why, CanceledBatch: "night"},
		{CanceledTask: steer.CanceledTask{TaskID: "running", Stage: steer.StageEnded, Code: task.Canceled}, Was: &why},
		{CanceledTask: steer.CanceledTask{TaskID: "un.seen", Stage: steer.StageUnseen}, Was: &why},
		{CanceledTask: steer.CanceledTask{TaskID: "never", Stage: steer.StageUnseen}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for id, wanted := range map[string]*task.Cancellation{"queued": nil, "un.seen": nil, "other": &why} {
		if c, err := s.Cancellation(t.Context(), id, ""); err != nil || !reflect.DeepEqual(c, wanted) {
			t.Errorf("%s: got %v, %v, want %v", id, c, err, wanted)
		}
	}
}

func TestTheCancellationOfABatchIsTakenBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for range 2 { // it can be canceled anew
		if _, err := steer.CancelBatch(t.Context(), s.Queue, "night", why); err != nil {
			t.Fatal(err)
		}
		if c, err := s.Cancellation(t.Context(), "", "night"); err != nil || c == nil {
			t.Errorf("got %v, %v, want it canceled", c, err)
		}
		if got, err := steer.UndoCancelBatch(t.Context(), s.Queue, "night"); err != nil || !reflect.DeepEqual(got, &why) {
			t.Errorf("got %v, %v, want %v", got, err, why)
		}
		if c, err := s.Cancellation(t.Context(), "", "night"); err != nil || c != nil {
			t.Errorf("got %v, %v, want it not canceled", c, err)
		}
	}
	if got, err := steer.UndoCancelBatch(t.Context(), s.Queue, "night"); err != nil || got != nil {
		t.Errorf("again: got %v, %v, want nothing to take back", got, err)
	}
}

func TestTakingBackCreatesNoBucket(t *testing.T) {
	t.Parallel()
	s := newSite(t, "KV_task_control")
	_, taskErr := steer.UndoCancel(t.Context(), s.Queue, []string{"a"})
	_, batchErr := steer.UndoCancelBatch(t.Context(), s.Queue, "night")
	for _, err := range []error{taskErr, batchErr} {
		if missing, ok := errors.AsType[*operator.MissingError](err); !ok || missing.Name != "task_control" {
			t.Errorf("got %v, want that the bucket is missing", err)
		}
	}
}
