package operator_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// refreshed reads what is new and returns the ids of the records.
func refreshed(t *testing.T, r *operator.Records, now time.Time) string {
	t.Helper()
	if err := r.Refresh(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	return strings.Join(slices.Sorted(maps.Keys(r.All)), " ")
}

func TestRecordsFollowTheBucket(t *testing.T) {
	s := operatortest.Start(t)
	all := s.Records(nil)
	running := s.Records(func(r task.Record) bool { return r.State == task.Running })
	s.WriteRecord(task.Record{TaskID: "a", State: task.Running})
	s.WriteRecord(task.Record{TaskID: "b", State: task.Running})
	s.WriteRecord(task.Record{TaskID: "c", State: task.Succeeded})
	s.Put("task_tracker", "deliveries/TASKS/7", `{"stream":"TASKS","seq":7,"count":1}`)
	s.Put("task_tracker", "d", string(task.Record{TaskID: "another", State: task.Running, WorkflowID: "wf"}.JSON()))
	s.Put("task_tracker", "e", "no record")
	if got := refreshed(t, all, time.Now()); got != "a b c" {
		t.Errorf("got %s, want the three records", got)
	}
	if got := refreshed(t, running, time.Now()); got != "a b" {
		t.Errorf("got %s, want those that run", got)
	}
	s.WriteRecord(task.Record{TaskID: "a", State: task.Failed, ErrorCode: task.Timeout})
	kv, err := s.JS.KeyValue(t.Context(), "task_tracker")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if got := refreshed(t, all, time.Now()); got != "a c" || all.All["a"].State != task.Failed {
		t.Errorf("got %s with a %s, want b gone and a failed", got, all.All["a"].State)
	}
	if got := refreshed(t, running, time.Now()); got != "" {
		t.Errorf("got %s, want none that runs", got)
	}
	if got := refreshed(t, all, time.Now().Add(s.Config.Tracker.TTL+time.Minute)); got != "" {
		t.Errorf("got %s, want that all have expired", got)
	}
}

func TestWithoutABucketOfRecordsItIsNamed(t *testing.T) {
	s := operatortest.StartBare(t)
	refreshErr := s.Records(nil).Refresh(t.Context(), time.Now())
	_, recordErr := s.Record(t.Context(), "a")
	for _, err := range []error{refreshErr, recordErr} {
		missing, ok := errors.AsType[*operator.MissingError](err)
		if !ok || missing.Kind != "bucket" || missing.Name != "task_tracker" || !operator.IsMissing(err) {
			t.Errorf("got %v, want the bucket", err)
		}
	}
}
