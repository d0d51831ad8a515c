package task_test

import (
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
		``,
		`null`,
		`[]`,
		`"running"`,
		`{}`,
		`{"state":"running","workflow_id":"w"}`,
		`{"task_id":"a"}`,
		`{"task_id":"a","state":"Running","workflow_id":"w"}`,
		`{"task_id":"a","state":"running"}`,
		`{"task_id":"a","state":"waiting","epoch":-1}`,
		`{"task_id":"a","state":"waiting","epoch":1.5}`,
		`{"task_id":"a","state":"waiting","epoch":"1"}`,
		`{"task_id":7,"state":"waiting"}`,
		`{"task_id":"a","state":"waiting","requested_at":"today"}`,
		`{"task_id":"a","state":"waiting","requested_at":"2026-01-01T00:00:00+25:00"}`,
		`{"task_id":"a","state":"waiting"} {}`,
		`{"task_id":"a","state":"waiting"`,
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
	rec, err := task.ParseRecord([]byte(old + `, "cost" : "b-1", "STATE":"waiting","parts":[ {"code":"timeout"} ]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(rec.JSON()), old+`,"cost":"b-1","parts":[ {"code":"timeout"} ]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestUnknownMembersAreKeptByteForByte(t *testing.T) {
	const known = `{"task_id":"a","state":"waiting","owner":"","epoch":0,"request_seq":0,"digest":"",` +
		`"requested_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"`
	for name, unknown := range map[string]string{
		"a number beyond float64":    `"n":1e400`,
		"digits":                     `"n":1.50`,
		"space":                      `"n":[ 1 , { "a" : 2 } ]`,
		"escapes":                    `"n\u0061\/":"\u00e9\/"`,
		"half a surrogate pair":      `"\ud83d":"\ud83d"`,
		"a byte of Latin-1":          "\"n\":\"Z\xFCrich\"",
		"a name twice":               `"n":1,"n":2`,
		"names twice inside":         `"n":{"a":1,"a":2}`,
		"null":                       `"n":null`,
		"a known name with a dash":   `"task-id":"b"`,
		"without its underscore":     `"taskid":"b"`,
		"with an underscore more":    `"state_":"running"`,
		"in the order of the record": `"z":1,"b":2,"a":3`,
	} {
		written := []byte(known + "," + unknown + "}")
		for range 3 { // each worker that has the task writes it
			rec, err := task.ParseRecord(written)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			written = rec.JSON()
		}
		if got, want := string(written), known+","+unknown+"}"; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// A name in another case is the known name to workers that read with encoding/json. It must not be written as a second one.
func TestNamesOfARecordMatchInAnyCase(t *testing.T) {
	rec, err := task.ParseRecord([]byte(`{"Task_ID":"a","STATE":"running","workflow_Id":"wf","Epoch":3}`))
	want := task.Record{TaskID: "a", State: task.Running, WorkflowID: "wf", Epoch: 3}
	if err != nil || !reflect.DeepEqual(rec, want) {
		t.Errorf("got %+v, %v, want %+v", rec, err, want)
	}
}

// full is a record with a value in each field that is stored.
func full(t *testing.T) task.Record {
	t.Helper()
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	var rec task.Record
	for field, value := range reflect.ValueOf(&rec).Elem().Fields() {
		switch {
		case field.Tag.Get("json") == "-":
		case field.Name == "State":
			value.SetString(string(task.Running))
		case value.Kind() == reflect.String:
			value.SetString("text of " + field.Name)
		case value.CanInt():
			value.SetInt(7)
		case value.CanUint():
			value.SetUint(1 << 63)
		case value.Kind() == reflect.Bool:
			value.SetBool(true)
		case field.Type == reflect.TypeFor[*bool]():
			value.Set(reflect.ValueOf(new(false))) // the zero value is written, too
		case field.Type == reflect.TypeFor[*int]():
			value.Set(reflect.ValueOf(new(0)))
		case field.Type == reflect.TypeFor[*float64]():
			value.Set(reflect.ValueOf(new(0.125)))
		case field.Type == reflect.TypeFor[time.Time]():
			value.Set(reflect.ValueOf(at))
		case field.Type == reflect.TypeFor[[]task.Run]():
			value.Set(reflect.ValueOf([]task.Run{{
				WorkflowID: "w", Code: task.Timeout, SubmittedAt: at, FinishedAt: at, SessionID: "s", Steps: new(0), Credits: new(0.5),
			}}))
		default:
			t.Fatalf("%s has the type %v: give it a value here", field.Name, field.Type)
		}
	}
	return rec
}

func TestEachFieldOfARecordIsReadAsItWasWritten(t *testing.T) {
	want := full(t)
	got, err := task.ParseRecord(want.JSON())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// A record is small: what is not known does not appear in it.
func TestARecordLeavesOutWhatIsNotKnown(t *testing.T) {
	const want = `{"task_id":"","state":"","owner":"","epoch":0,"request_seq":0,"digest":"",` +
		`"requested_at":"0001-01-01T00:00:00Z","updated_at":"0001-01-01T00:00:00Z"}`
	if got := string(task.Record{Revision: 7}.JSON()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTimesHaveNanosecondsAndTheirZone(t *testing.T) {
	rec := full(t)
	rec.RequestedAt = time.Date(2026, 3, 1, 12, 0, 0, 1, time.FixedZone("", 5400))
	rec.UpdatedAt = time.Date(2026, 3, 1, 12, 0, 0, 120_000_000, time.UTC)
	for _, want := range []string{`"requested_at":"2026-03-01T12:00:00.000000001+01:30"`, `"updated_at":"2026-03-01T12:00:00.12Z"`} {
		if got := string(rec.JSON()); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s in it", got, want)
		}
	}
}

func TestTextsOfARecordAreUTF8(t *testing.T) {
	rec := full(t)
	rec.Owner = "Z\xFCrich <&>"
	if got, want := string(rec.JSON()), `"owner":"Z`+"\uFFFD"+`rich <&>"`; !strings.Contains(got, want) {
		t.Errorf("got %s, want %s in it", got, want)
	}
}

func TestATimeThatCannotBeWrittenIsABug(t *testing.T) {
	rec := full(t)
	rec.UpdatedAt = time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)
	defer func() {
		if recover() == nil {
			t.Error("got a record with a year of five digits, want a panic")
		}
	}()
	rec.JSON()
}

func TestAFinishedRecordSaysHowItsTaskEnded(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	running := task.Record{
		TaskID: "a", State: task.Running, Owner: "w1", Epoch: 2, WorkflowID: "wf", Polls: 3,
		PostUntil: at, ErrorCode: task.SubmissionUnknown, SessionID: "s", SessionEnded: new(false), Steps: new(3), Credits: new(0.25),
		Ending: task.Timeout, Fenced: true, LiveView: "https://a.example/live",
	}
	for _, tc := range []struct {
		name string
		ev   task.Event
		want task.Record
	}{
		{
			"a success",
			task.Event{Status: task.Succeeded, FinishedAt: at, Polls: 9},
			task.Record{TaskID: "a", State: task.Succeeded, Owner: "w1", Epoch: 2, WorkflowID: "wf", Polls: 9, FinishedAt: at, ResultSeq: 41},
		},
		{
			"a failure",
			task.Event{Status: task.Failed, FinishedAt: at, Polls: 9, Error: task.NewError(task.Timeout, "m")},
			task.Record{TaskID: "a", State: task.Failed, Owner: "w1", Epoch: 2, WorkflowID: "wf", Polls: 9, FinishedAt: at, ResultSeq: 41, ErrorCode: task.Timeout},
		},
		{
			"with what all sessions of the task used",
			task.Event{Status: task.Succeeded, FinishedAt: at, Polls: 9, SessionID: "s", SessionEnded: new(true), Steps: new(12), Credits: new(0.5)},
			task.Record{
				TaskID: "a", State: task.Succeeded, Owner: "w1", Epoch: 2, WorkflowID: "wf", Polls: 9, FinishedAt: at, ResultSeq: 41,
				SessionEnded: new(true), Steps: new(12), Credits: new(0.5),
			},
		},
	} {
		tc.want.SessionID = "s"
		if got := running.Finished(tc.ev, 41); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: got %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestATaskThatHasEndedWaitsForNothing(t *testing.T) {
	rec := task.Record{TaskID: "a", State: task.Waiting, WaitsFor: task.ForPlan, WaitsUntil: time.Now()}
	if got := rec.Finished(task.Event{Status: task.Failed, Error: task.NewError(task.Canceled, "m")}, 1); got.WaitsFor != "" || !got.WaitsUntil.IsZero() {
		t.Errorf("got %+v", got)
	}
}

func TestOnlyOneResubmissionIsAllowed(t *testing.T) {
	for code, want := range map[task.Code]bool{task.SubmissionUnknown: true, task.Timeout: false, "": false} {
		if got := (task.Record{State: task.Waiting, ErrorCode: code}).UnknownOnce(); got != want {
			t.Errorf("%q: got used up %v, want %v", code, got, want)
		}
	}
}

func TestATaskHasEndedWhenItsEventIsStored(t *testing.T) {
	for state, want := range map[task.State]bool{
		task.Waiting:    false,
		task.Submitting: false,
		task.Running:    false,
		task.Succeeded:  true,
		task.Failed:     true,
	} {
		if got := state.Ended(); got != want {
			t.Errorf("%s: got %v, want %v", state, got, want)
		}
	}
}

func TestAStateOfANewerVersionIsNotNonsense(t *testing.T) {
	for value, newer := range map[string]bool{
		`{"task_id":"a","state":"paused"}`: true, `{"task_id":"a"}`: false, `{"state":"paused"}`: false, `{"task_id":"a","state":7}`: false,
	} {
		if _, err := task.ParseRecord([]byte(value)); err == nil || errors.Is(err, task.ErrNewerRecord) != newer {
			t.Errorf("%s: got %v, want ErrNewerRecord %v", value, err, newer)
		}
	}
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
