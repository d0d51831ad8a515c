package task_test

import (
	"bytes"
	"encoding/json"
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

func TestWhatIsLeftOutOfAnEventIsNamed(t *testing.T) {
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
		t.Error("the error of the caller was cut")
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
		want := encoded(ev)
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
