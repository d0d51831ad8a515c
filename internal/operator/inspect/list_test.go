package inspect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAListingTakesWhatItsFiltersTake(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	now := time.Now().UTC()
	for i, r := range []task.Record{
		{TaskID: "wait", State: task.Waiting, WaitsFor: task.ForPlan, Batch: "night"},
		{TaskID: "post", State: task.Submitting, ErrorCode: task.SubmissionUnknown},
		{TaskID: "run", State: task.Running, Host: "shop.example"},
		{TaskID: "good", State: task.Succeeded, Batch: "night", Host: "shop.example"},
		{TaskID: "late", State: task.Failed, ErrorCode: task.Timeout, Batch: "night"},
		{TaskID: "steps", State: task.Failed, ErrorCode: task.StepLimit},
	} {
		r.UpdatedAt = now.Add(-time.Duration(i+1) * time.Minute)
		d.WriteRecord(r)
	}
	d.Put("task_tracker", "deliveries/TASKS/7", `{"stream":"TASKS","seq":7,"count":1}`)
	d.Put("task_tracker", "broken", "no record")
	d.Publish(operatortest.Request("queued", `"batch":"night"`))
	d.Publish(operatortest.Request("wait")) // a copy
	for _, tc := range []struct {
		name string
		f    inspect.Listing
		want string
	}{
		{"all, the newest first", inspect.Listing{}, "queued wait post run good late steps"},
		{"some", inspect.Listing{Limit: 3}, "queued wait post"},
		{"a state", inspect.Listing{States: []inspect.State{"running"}}, "run"},
		{"states", inspect.Listing{States: []inspect.State{"running", "submitting"}}, "post run"},
		{"failed", inspect.Listing{States: []inspect.State{"failed"}}, "late steps"},
		{"a code", inspect.Listing{Codes: []task.Code{task.Timeout}}, "late"},
		{"a code of a task that has not ended", inspect.Listing{Codes: []task.Code{task.SubmissionUnknown}}, ""},
		{"a batch", inspect.Listing{Batch: "night"}, "queued wait good late"},
		{"a host, in any case", inspect.Listing{Host: "SHOP.example", States: []inspect.State{"running", "succeeded"}}, "run good"},
		{"the host of a queued one", inspect.Listing{Host: "shop.example.com", States: []inspect.State{inspect.Queued}}, "queued"},
		{"since", inspect.Listing{Since: 150 * time.Second}, "queued wait post"},
		{"none", inspect.Listing{Batch: "other"}, ""},
	} {
		if got := d.list(tc.f); got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestARecordThatWasDeletedIsNotListed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.WriteRecord(task.Record{TaskID: "a", State: task.Running})
	d.WriteRecord(task.Record{TaskID: "b", State: task.Running})
	kv, err := d.JS.KeyValue(t.Context(), "task_tracker")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := d.list(inspect.Listing{}); got != "b" {
		t.Errorf("got %q, want b", got)
	}
}

func TestWhileABucketIsMissingTheQueuedTasksAreListed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Publish(operatortest.Request("a"))
	if err := d.JS.DeleteKeyValue(t.Context(), "task_tracker"); err != nil {
		t.Fatal(err)
	}
	if got := d.list(inspect.Listing{}); got != "a" {
		t.Errorf("got %q, want a", got)
	}
	if _, _, err := inspect.List(t.Context(), bareDesk(t).Queue, inspect.Listing{}); err == nil || !strings.Contains(err.Error(), "start a worker first") {
		t.Errorf("without any stream: got %v, want what to do", err)
	}
}
