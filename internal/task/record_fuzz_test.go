package task_test

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// Whatever the bucket holds, a worker reads it or says why not; and what it read, it writes as it was.
func FuzzParseRecord(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	for _, rec := range []task.Record{
		{TaskID: "a", State: task.Waiting, Owner: "w1", Epoch: 1, RequestSeq: 7, Digest: "d", RequestedAt: now, UpdatedAt: now},
		{TaskID: "a", State: task.Submitting, Attempts: 2, ErrorCode: task.SubmissionUnknown},
		{TaskID: "a", State: task.Running, WorkflowID: "wf", SessionID: "s", SubmittedAt: now},
		{TaskID: "a", State: task.Failed, ErrorCode: task.Timeout, FinishedAt: now, ResultSeq: 1 << 63},
		{TaskID: "a", State: task.Waiting, Run: 1, Runs: []task.Run{{WorkflowID: "w", Code: task.StepLimit}}, WaitsFor: task.ForRetry, WaitsUntil: now},
		{TaskID: "a", State: task.Running, WorkflowID: "wf", SessionID: "s", SessionEnded: new(false), Steps: new(0), Credits: new(0.1), Ending: task.Timeout, Fenced: true, LiveView: "https://a.example"},
		{TaskID: "a", State: task.Waiting, Run: 1, Runs: []task.Run{{WorkflowID: "w", SessionID: "s", Steps: new(-1), Credits: new(1e300)}}},
	} {
		f.Add(rec.JSON())
	}
	f.Add([]byte(`{"task_id":"a","state":"running"}`))
	f.Add([]byte(`{"task_id":"a","state":"waiting","runs":[]}`))
	f.Add([]byte(`{"task_id":"a","state":"waiting","requested_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z","batch":"b","runs":[{"x":1}],"STATE":"running"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		rec, err := task.ParseRecord(value)
		if err != nil {
			return
		}
		want := encoded(rec)
		if want == nil {
			return // a time in a zone that JSON cannot have
		}
		written := rec.JSON()
		if rec.Unknown == "" && !bytes.Equal(written, want) {
			t.Errorf("got %s, want %s", written, want)
		}
		again, err := task.ParseRecord(written)
		if err != nil || !reflect.DeepEqual(again, rec) {
			t.Errorf("read %+v, wrote %s, read %+v, %v", rec, written, again, err)
		}
	})
}
