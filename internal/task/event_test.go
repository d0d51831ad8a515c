package task_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestEventsAreReadByStrictReaders(t *testing.T) {
	t.Parallel()
	ev := task.Event{
		TaskID: "a", Status: task.Failed, WorkflowID: "w\xFF", WorkflowStatus: "FAIL\xFF", Worker: "w\xFF",
		Result: json.RawMessage("{\"city\":\"Z\xFCrich\"}"), RawResult: json.RawMessage(`"\ud83d"`), Metadata: json.RawMessage(`{"\ud83d":1}`),
		Error:       task.NewError(task.WorkflowFailed, "price 5 \xE2\x82"),
		RequestedAt: time.Unix(0, 0).UTC(), FinishedAt: time.Unix(1, 0).UTC(),
	}
	data, err := ev.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(data) || !jsontext.Value(data).IsValid() {
		t.Errorf("got %q, want UTF-8 that a strict reader accepts", data)
	}
	var got task.Event
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if string(got.Result) != "{\"city\":\"Z\uFFFDrich\"}" || got.Error.Message != "price 5 \uFFFD\uFFFD" || got.WorkflowStatus != "FAIL\uFFFD" {
		t.Errorf("got %+v, want U+FFFD for what is not UTF-8", got)
	}
}

func TestAnEventKnowsThatItIsTooLong(t *testing.T) {
	t.Parallel()
	ev := task.Event{Result: json.RawMessage(`{ "a\" b" : [ 1 , 2 ] }`), Metadata: json.RawMessage("{}")} // 15 and 2 without spaces
	for limit, want := range map[int64]bool{16: true, 17: false, 1000: false} {
		if got := ev.ExceedsBytes(limit); got != want {
			t.Errorf("%d bytes: got %v, want %v", limit, got, want)
		}
	}
}

func TestAnEventNamesWhatItLeavesOut(t *testing.T) {
	t.Parallel()
	message := strings.Repeat("é", 2000)
	shared := task.NewError(task.WorkflowFailed, message)
	ev := task.Event{
		WorkflowID: strings.Repeat("w", 5000), WorkflowStatus: strings.Repeat("S", 5000), Worker: strings.Repeat("n", 5000),
		Metadata: json.RawMessage(`{"a":1}`), Error: shared,
	}
	ev.DropMetadata()
	ev.DropMetadata()
	ev.ShortenTexts()
	data, err := ev.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 2048 || !utf8.Valid(data) || !bytes.Contains(data, []byte(`"dropped":["metadata","workflow_id"]`)) || !strings.HasSuffix(ev.Error.Message, "é…") {
		t.Errorf("got %s", data)
	}
	if shared.Message != message {
		t.Error("the error of the caller was truncated")
	}
}

// FuzzEvent holds an event's JSON to what encoding/json makes of it.
func FuzzEvent(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	for _, ev := range []task.Event{
		{TaskID: "a", Status: task.Succeeded, WorkflowID: "wf", WorkflowStatus: "COMPLETED", Result: json.RawMessage(`{ "a": "<&>\u2028" }`), RequestedAt: now, SubmittedAt: now, FinishedAt: now, Attempts: 1, Polls: 3, UnnoticedMS: 7, Worker: "w1"},
		{TaskID: "b", Status: task.Failed, RawResult: json.RawMessage(`"no"`), Error: task.NewError(task.AgentFailed, "it says <no>\n\"é\""), Metadata: json.RawMessage(`{"a": [1, 2]}`), Worker: "w é"},
		{TaskID: "c", Status: task.Succeeded, ResultRef: &task.ResultRef{Bucket: "b", Name: "n", Size: 1 << 63, Digest: "SHA-256="}},
	} {
		f.Add(encoded(ev))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		var ev task.Event
		if json.Unmarshal(value, &ev) != nil {
			return
		}
		readable := ev // encoding/json writes bytes that are not UTF-8 as they are
		for _, raw := range []*json.RawMessage{&readable.Result, &readable.RawResult, &readable.Metadata} {
			*raw = task.Portable(*raw)
		}
		want := encoded(readable)
		if want == nil {
			return // a time in a zone that JSON cannot have
		}
		if got, err := ev.JSON(); err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	})
}

func TestAnEventNamesTheFieldThatIsNoJSON(t *testing.T) {
	ev := task.Event{Result: json.RawMessage(`1`), Metadata: json.RawMessage(`{`)}
	_, err := ev.JSON()
	if err == nil || !strings.HasPrefix(err.Error(), "metadata: ") {
		t.Errorf("got %v, want an error of metadata", err)
	}
}

func TestAnEventKeepsTheBytesOfItsValues(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ raw, want string }{
		"numbers as written": {`[1.0,1e5,-0,12345678901234567890]`, `[1.0,1e5,-0,12345678901234567890]`},
		"escapes":            {`"\u00e9\/\u003c"`, `"\u00e9\/\u003c"`},
		"text of HTML":       {"\"<a>&\u2028\"", "\"<a>&\u2028\""},
		"a name twice":       {`{"a":1,"a":2}`, `{"a":1,"a":2}`},
		"the order of names": {`{"b":1,"a":2}`, `{"b":1,"a":2}`},
		"no space":           {" { \"a b\" : [ 1 , 2 ] }\n", `{"a b":[1,2]}`},
		"an empty object":    {`{}`, `{}`},
		"an empty array":     {`[]`, `[]`},
		"an empty string":    {`""`, `""`},
		"null":               {`null`, `null`},
	} {
		ev := task.Event{Result: json.RawMessage(tc.raw), RawResult: json.RawMessage(tc.raw), Metadata: json.RawMessage(tc.raw)}
		data, err := ev.JSON()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, member := range []string{"result", "raw_result", "metadata"} {
			if want := `"` + member + `":` + tc.want + `,`; !bytes.Contains(data, []byte(want)) {
				t.Errorf("%s: got %s, want %s in it", name, data, want)
			}
		}
		if string(ev.Result) != tc.raw {
			t.Errorf("%s: the result of the caller became %s", name, ev.Result)
		}
	}
}

func TestAnEventLeavesOutWhatItDoesNotHave(t *testing.T) {
	t.Parallel()
	const want = `{"task_id":"","status":"","requested_at":"0001-01-01T00:00:00Z","finished_at":"0001-01-01T00:00:00Z","attempts":0,"polls":0,"worker":""}`
	for name, ev := range map[string]task.Event{
		"nil":   {},
		"empty": {Result: json.RawMessage{}, RawResult: json.RawMessage{}, Metadata: json.RawMessage{}, Dropped: []string{}},
	} {
		if got, err := ev.JSON(); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, want)
		}
	}
}

func TestATimeThatJSONCannotHaveIsNamed(t *testing.T) {
	t.Parallel()
	ev := task.Event{FinishedAt: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}
	if _, err := ev.JSON(); err == nil || !strings.HasPrefix(err.Error(), "finished_at: ") {
		t.Errorf("got %v, want an error of finished_at", err)
	}
}

// A result of many MiB is copied once, into the event.
func TestALargeEventIsEncodedInPlace(t *testing.T) { // not parallel: it counts what the process allocates
	const size = 8 << 20
	text := `"` + strings.Repeat("x", size) + `"`
	for name, raw := range map[string]string{
		"text":    text,
		"members": `{` + strings.Repeat(`"a":1,`, size/6) + `"b":2}`,
	} {
		ev := task.Event{TaskID: "a", Status: task.Succeeded, Result: json.RawMessage(raw), Metadata: json.RawMessage(`{"a":1}`)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		data, err := ev.JSON()
		runtime.ReadMemStats(&after)
		if err != nil || len(data) < len(raw) {
			t.Fatalf("%s: got %d bytes, %v", name, len(data), err)
		}
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(len(raw))*3/2; got > most {
			t.Errorf("%s: took %d KiB for %d KiB, want %d at most", name, got>>10, len(raw)>>10, most>>10)
		}
	}
}
