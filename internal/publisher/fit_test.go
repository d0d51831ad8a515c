package publisher_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAResultThatDoesNotFitGoesToTheObjectStore(t *testing.T) {
	t.Parallel()
	large := json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)
	for name, ev := range map[string]task.Event{
		"of a task that succeeded": {TaskID: "a", Status: task.Succeeded, Result: large, RawResult: large},
		"of a task that failed":    {TaskID: "a", Status: task.Failed, RawResult: large, Error: task.NewError(task.InvalidResult, "no")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, natsserver.Config{MaxPayload: 4096})
			if _, _, err := h.Publish(t.Context(), message(7), ev, false); err != nil {
				t.Fatal(err)
			}
			var got task.Event
			if err := json.Unmarshal(messages(t, h.results)[0].Data, &got); err != nil {
				t.Fatal(err)
			}
			if got.Result != nil || got.RawResult != nil || got.ResultRef == nil {
				t.Fatalf("got %+v, want a result_ref in place of results", got)
			}
			data, err := h.large.GetBytes(t.Context(), got.ResultRef.Name)
			if err != nil {
				t.Fatal(err)
			}
			if string(data) != string(large) || got.ResultRef.Size != uint64(len(large)) || got.ResultRef.Bucket != results.Bucket {
				t.Errorf("got %d bytes, %+v, want the result", len(data), got.ResultRef)
			}
		})
	}
}

func TestAStreamsOwnBoundSendsAResultToTheObjectStore(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	cfg := h.results.CachedInfo().Config
	cfg.MaxMsgSize = 2048
	if _, err := h.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	ev := event("a")
	ev.Result = json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)
	if _, _, err := h.Publish(t.Context(), message(7), ev, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(messages(t, h.results)[0].Data), `"result_ref"`) {
		t.Error("got no result_ref")
	}
}
