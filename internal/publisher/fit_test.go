package publisher_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
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
			if _, _, err := h.Publish(t.Context(), delivery(7), ev, false); err != nil {
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

func TestAResultThatExceedsTheStreamsBoundGoesToTheObjectStore(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	cfg := h.results.CachedInfo().Config
	cfg.MaxMsgSize = 2048
	if _, err := h.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	ev := event("a")
	ev.Result = json.RawMessage(`"` + strings.Repeat("x", 5000) + `"`)
	if _, _, err := h.Publish(t.Context(), delivery(7), ev, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(messages(t, h.results)[0].Data), `"result_ref"`) {
		t.Error("got no result_ref")
	}
}

// The event lists what was dropped.
func TestAnEventThatDoesNotFitIsPublishedWithoutItsMetadata(t *testing.T) {
	t.Parallel()
	text := func(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", n) + `"`) }
	for name, tc := range map[string]struct {
		server  natsserver.Config
		maxSize int32 // of a message of the stream
		result  json.RawMessage
		meta    json.RawMessage
	}{
		"max_payload":                      {natsserver.Config{MaxPayload: 64 << 10}, -1, text(10), text(65336)},
		"max_payload, with a large result": {natsserver.Config{MaxPayload: 64 << 10}, -1, text(100 << 10), text(65336)},
		"max_msg_size":                     {natsserver.Config{}, 16384, text(10), text(20 << 10)},
		"max_msg_size, with both":          {natsserver.Config{}, 16384, text(20 << 10), text(20 << 10)},
		"max_msg_size, by the headers":     {natsserver.Config{}, 16384, text(10), text(16384 - 300)},
		"the smallest max_payload":         {natsserver.Config{MaxPayload: 4096}, -1, text(4000), text(4000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, tc.server)
			h.maxMessage(tc.maxSize)
			seen := h.subscribe()
			ev := event("a")
			ev.Result, ev.Metadata = tc.result, tc.meta
			kept, seq, err := h.Publish(t.Context(), delivery(7), ev, false)
			if err != nil {
				t.Fatal(err)
			}
			got := h.event(seq)
			if got.Metadata != nil || !slices.Equal(got.Dropped, []string{"metadata"}) || kept.Metadata != nil {
				t.Errorf("got metadata of %d bytes, dropped %q, want it dropped", len(got.Metadata), got.Dropped)
			}
			if (got.Result == nil) != (got.ResultRef != nil) {
				t.Errorf("got a result of %d bytes and the reference %+v, want one of them", len(got.Result), got.ResultRef)
			}
			if n := seen(1)["a"]; n != 1 {
				t.Errorf("a subscriber without a consumer got %d copies, want 1", n)
			}
			if err := h.Replay(t.Context(), delivery(9), "a", seq); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// However long the texts of an event are, it fits into the smallest message.
func TestAnEventOfLongTextsFits(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	h.maxMessage(3072)
	long := strings.Repeat("é\xFF<\"", 2000)
	d := delivery(math.MaxUint64)
	d.Stream = strings.Repeat("S", 200)
	d.Header = map[string][]string{"traceparent": {strings.Repeat("t", 512)}, "tracestate": {strings.Repeat("s", 512)}}
	ev := task.Event{
		TaskID: strings.Repeat("a", 128), Status: task.Failed, WorkflowID: long, WorkflowStatus: long, Worker: long,
		RawResult: json.RawMessage(`"` + strings.Repeat("x", 9000) + `"`), Metadata: json.RawMessage(`"` + strings.Repeat("m", 9000) + `"`),
		Error: task.NewError(task.WorkflowFailed, long), RequestedAt: stored, SubmittedAt: stored, FinishedAt: stored,
		Attempts: math.MaxInt, Polls: math.MaxInt, UnnoticedMS: math.MaxInt64,
	}
	if _, _, err := h.Publish(t.Context(), d, ev, false); err != nil {
		t.Fatal(err)
	}
	if err := h.PublishPerRequest(t.Context(), d, ev, false); err != nil {
		t.Fatal(err)
	}
	if err := h.Replay(t.Context(), delivery(9), ev.TaskID, 1); err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(3) {
		if got := h.event(seq + 1); got.TaskID != ev.TaskID || got.Error.Code != task.WorkflowFailed || got.ResultRef == nil {
			t.Errorf("event %d: got %+v", seq+1, got)
		}
	}
}

func TestAResultIsMeasuredWithoutItsWhiteSpace(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{MaxPayload: 4096})
	ev := event("a")
	ev.Result = json.RawMessage(`[` + strings.Repeat(" ", 8000) + `1]`)
	if kept, _, err := h.Publish(t.Context(), delivery(7), ev, false); err != nil || kept.ResultRef != nil {
		t.Errorf("got %+v, %v, want the result in the event", kept.ResultRef, err)
	}
}

// maxMessage bounds the messages of the results stream, in bytes.
func (h *harness) maxMessage(size int32) {
	h.t.Helper()
	cfg := h.results.CachedInfo().Config
	cfg.MaxMsgSize = size
	var err error
	if h.results, err = h.js.UpdateStream(h.t.Context(), cfg); err != nil {
		h.t.Fatal(err)
	}
	h.parts.Results = h.results
	h.Publisher = newPublisher(h.parts)
}

func (h *harness) event(seq uint64) task.Event {
	h.t.Helper()
	var ev task.Event
	if err := json.Unmarshal(h.get(seq).Data, &ev); err != nil {
		h.t.Fatal(err)
	}
	return ev
}

// After Offload the caller checks that the task is still its own: Publish must not upload anything then.
func TestOffloadLeavesNothingToUploadForPublish(t *testing.T) {
	t.Parallel()
	h := newHarness(t, natsserver.Config{})
	for name, result := range map[string]string{
		"nearly as large as a message": `"` + strings.Repeat("a", 1<<20-100) + `"`,
		"grows":                        `"` + strings.Repeat("\xff", 900_000) + `"`,
	} {
		ev := event("a")
		ev.TaskID = fmt.Sprint("t", len(result))
		ev.Result = json.RawMessage(result)
		ev, err := h.Offload(t.Context(), delivery(1), ev)
		if err != nil {
			t.Fatal(err)
		}
		uploaded := ev.ResultRef != nil
		ev, _, err = h.Publish(t.Context(), delivery(1), ev, false)
		if err != nil {
			t.Fatal(err)
		}
		if !uploaded && ev.ResultRef != nil {
			t.Errorf("%s: Publish uploaded the result", name)
		}
	}
}
