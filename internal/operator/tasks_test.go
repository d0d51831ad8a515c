package operator_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// summary is what was found of tasks, as text.
func summary(found *operator.Tasks) string {
	return strings.Join(slices.Sorted(maps.Keys(found.Records)), " ") + " | " + strings.Join(slices.Sorted(maps.Keys(found.Queued)), " ")
}

// Few records are read one by one, and many all at once.
func TestFewAndManyTasksAreFoundAlike(t *testing.T) {
	s := operatortest.Start(t)
	s.WriteRecord(task.Record{TaskID: "runs", State: task.Running, Batch: "night"})
	s.WriteRecord(task.Record{TaskID: "other", State: task.Running})
	s.Publish(operatortest.Request("runs", `"batch":"night"`))
	first := s.Publish(operatortest.Request("waits", `"batch":"night"`))
	s.Publish(operatortest.Request("waits", `"batch":"night"`, `"max_steps":7`))
	s.Publish(operatortest.Request("another"))
	ids := map[string]bool{"runs": true, "waits": true, "nobody": true}
	for _, more := range []int{0, 300} {
		for i := range more {
			ids[fmt.Sprint("t", i)] = true
		}
		found, err := s.TasksOf(t.Context(), ids)
		if err != nil {
			t.Fatal(err)
		}
		if got := summary(found); got != "runs | waits" || found.Queued["waits"].Seq != first || found.Now.IsZero() {
			t.Errorf("of %d: got %s, %+v, want the record, and the first request", len(ids), got, found.Queued)
		}
	}
	found, err := s.TasksOfBatch(t.Context(), "night")
	if err != nil {
		t.Fatal(err)
	}
	if got := summary(found); got != "runs | waits" || found.Queued["waits"].Seq != first {
		t.Errorf("batch: got %s, %+v, want the same", got, found.Queued)
	}
}

// A publisher may send a batch before a worker has ever run.
func TestTasksAreFoundWithoutABucketOfRecords(t *testing.T) {
	s := operatortest.Start(t, "KV_task_tracker")
	s.Publish(operatortest.Request("a", `"batch":"night"`))
	found, err := s.TasksOf(t.Context(), map[string]bool{"a": true, "b": true})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := s.TasksOfBatch(t.Context(), "night")
	if err != nil {
		t.Fatal(err)
	}
	if got := summary(found) + ", " + summary(batch); got != " | a,  | a" {
		t.Errorf("got %q, want the request", got)
	}
}
