package task_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestARecordThatNoWorkerWroteIsRefused(t *testing.T) {
	for _, value := range []string{
		``, `null`, `[]`, `"running"`, `{}`, `{"state":"running","workflow_id":"w"}`, `{"task_id":"a"}`,
		`{"task_id":"a","state":"Running","workflow_id":"w"}`, `{"task_id":"a","state":"running"}`,
		`{"task_id":"a","state":"waiting","epoch":-1}`, `{"task_id":"a","state":"waiting","requested_at":"today"}`,
		`{"task_id":"a","state":"waiting"} {}`,
	} {
		if rec, err := task.ParseRecord([]byte(value)); err == nil {
			t.Errorf("%s was read as %+v", value, rec)
		}
	}
}

// Two versions work side by side on one task.
func TestMembersOfANewerRecordAreKept(t *testing.T) {
	const old = `{"task_id":"a","state":"waiting","owner":"w1","epoch":1,"request_seq":1,"digest":"d",` +
		`"requested_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"`
	rec, err := task.ParseRecord([]byte(old + `, "batch" : "b-1", "STATE":"waiting","runs":[ {"code":"timeout"} ]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(rec.JSON()), old+`,"batch":"b-1","runs":[ {"code":"timeout"} ]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A field that is added to the struct alone would be written twice.
func TestEveryFieldOfARecordIsKnown(t *testing.T) {
	for field := range reflect.TypeFor[task.Record]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		value := `{"task_id":"a","state":"waiting","` + name + `":null}`
		rec, err := task.ParseRecord([]byte(value))
		if name == "task_id" || name == "state" {
			continue
		}
		if err != nil || rec.Unknown != "" {
			t.Errorf("%s: got %q unknown, %v, want it known", name, rec.Unknown, err)
		}
	}
}

func TestAStateOfANewerVersionIsToldFromNonsense(t *testing.T) {
	for value, newer := range map[string]bool{
		`{"task_id":"a","state":"paused"}`: true, `{"task_id":"a"}`: false, `{"state":"paused"}`: false, `{"task_id":"a","state":7}`: false,
	} {
		if _, err := task.ParseRecord([]byte(value)); err == nil || errors.Is(err, task.ErrNewerRecord) != newer {
			t.Errorf("%s: got %v, want ErrNewerRecord %v", value, err, newer)
		}
	}
}

func TestAnEarlierRecordOfARunPrecedesIt(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := task.Record{TaskID: "a", State: task.Running, Owner: "w2", Epoch: 2, RequestSeq: 7, RequestedAt: at}
	with := func(change func(*task.Record)) task.Record {
		rec := now
		change(&rec)
		return rec
	}
	for name, c := range map[string]struct {
		rec  task.Record
		want bool
	}{
		"the same run":         {with(func(r *task.Record) { r.State = task.Submitting }), true},
		"an owner before":      {with(func(r *task.Record) { r.Owner, r.Epoch = "w1", 1 }), true},
		"the next owner":       {with(func(r *task.Record) { r.Owner, r.Epoch = "w3", 3 }), false},
		"a rival":              {with(func(r *task.Record) { r.Owner = "w3" }), false},
		"another request":      {with(func(r *task.Record) { r.RequestSeq, r.Epoch = 8, 1 }), false},
		"a recreated stream's": {with(func(r *task.Record) { r.RequestedAt, r.Epoch = at.Add(time.Second), 1 }), false},
		"an ended task":        {with(func(r *task.Record) { r.State, r.Epoch = task.Failed, 1 }), false},
	} {
		if got := c.rec.Precedes(now); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// Whatever the bucket holds, a worker reads it or says why not; and what it read, it writes as it was.
func FuzzParseRecord(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	for _, rec := range []task.Record{
		{TaskID: "a", State: task.Waiting, Owner: "w1", Epoch: 1, RequestSeq: 7, Digest: "d", RequestedAt: now, UpdatedAt: now},
		{TaskID: "a", State: task.Submitting, Attempts: 2, ErrorCode: task.SubmissionUnknown},
		{TaskID: "a", State: task.Running, WorkflowID: "wf", SessionID: "s", SubmittedAt: now},
		{TaskID: "a", State: task.Failed, ErrorCode: task.Timeout, FinishedAt: now, ResultSeq: 1 << 63},
	} {
		f.Add(rec.JSON())
	}
	f.Add([]byte(`{"task_id":"a","state":"running"}`))
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

// The names of fields are public: others watch the bucket and subscribe to events.
func TestFieldsHaveTheirPublicNames(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 3, 1, 12, 0, second, 0, time.UTC) }
	rec := task.Record{
		TaskID: "ord-1842", State: task.Failed, Owner: "w1", Epoch: 2, RequestSeq: 7, Digest: "d1", WorkflowID: "wf-1",
		SessionID: "s-1", Attempts: 1, Polls: 9, RequestedAt: at(0), SubmittedAt: at(1), FinishedAt: at(2), UpdatedAt: at(3),
		ResultSeq: 41, ErrorCode: task.InvalidResult, Revision: 99,
	}
	success := task.Event{
		TaskID: "ord-1842", Status: task.Succeeded, WorkflowID: "wf-1", WorkflowStatus: "COMPLETED", Result: json.RawMessage(`{"heading":"Hello"}`),
		Metadata: json.RawMessage(`{"order":1842}`), RequestedAt: at(0), SubmittedAt: at(1), FinishedAt: at(2), Attempts: 1, Polls: 9, UnnoticedMS: 120, Worker: "w1",
	}
	failure := task.Event{
		TaskID: "ord-1843", Status: task.Failed, WorkflowID: "wf-2", WorkflowStatus: "COMPLETED", RawResult: json.RawMessage(`"no"`),
		ResultRef: &task.ResultRef{Bucket: "task_results", Name: "ord-1843.8", Size: 5, Digest: "SHA-256=x"},
		Error:     task.NewError(task.InvalidResult, "result: /heading: is required"), RequestedAt: at(0), FinishedAt: at(2), Attempts: 1, Polls: 1, Worker: "w1",
	}
	eventJSON := func(ev task.Event) []byte {
		written, err := ev.JSON()
		if err != nil {
			t.Fatal(err)
		}
		return written
	}
	for want, got := range map[string][]byte{
		`{"task_id":"ord-1842","state":"failed","owner":"w1","epoch":2,"request_seq":7,"digest":"d1","workflow_id":"wf-1","session_id":"s-1","attempts":1,"polls":9,` +
			`"requested_at":"2026-03-01T12:00:00Z","submitted_at":"2026-03-01T12:00:01Z","finished_at":"2026-03-01T12:00:02Z","updated_at":"2026-03-01T12:00:03Z",` +
			`"result_seq":41,"error_code":"invalid_result"}`: rec.JSON(),
		`{"task_id":"ord-1842","status":"succeeded","workflow_id":"wf-1","workflow_status":"COMPLETED","result":{"heading":"Hello"},"metadata":{"order":1842},` +
			`"requested_at":"2026-03-01T12:00:00Z","submitted_at":"2026-03-01T12:00:01Z","finished_at":"2026-03-01T12:00:02Z","attempts":1,"polls":9,"unnoticed_ms":120,"worker":"w1"}`: eventJSON(success),
		`{"task_id":"ord-1843","status":"failed","workflow_id":"wf-2","workflow_status":"COMPLETED","result_ref":{"bucket":"task_results","name":"ord-1843.8","size":5,"digest":"SHA-256=x"},` +
			`"raw_result":"no","error":{"code":"invalid_result","message":"result: /heading: is required","retryable":true},` +
			`"requested_at":"2026-03-01T12:00:00Z","finished_at":"2026-03-01T12:00:02Z","attempts":1,"polls":1,"worker":"w1"}`: eventJSON(failure),
	} {
		if string(got) != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}
