package pipeline_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/task"
)

// The stream recognizes duplicates by message ids. A broken request that names a running task's id must not take it.
func TestABrokenRequestDoesNotTakeARunningTasksMessageID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, goOn, verdict := w.running(w.request(fmt.Sprintf(request, "")))
	if err := handle(t.Context(), w.worker("w2", healthy{}), w.request(`{"task_id":"a"}`)(1)); err != nil {
		t.Fatal(err)
	}
	goOn()
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	ids := map[task.State]string{}
	s := w.stream(w.results.Stream)
	for seq := range s.CachedInfo().State.LastSeq {
		msg, err := s.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		var ev task.Event
		if err := json.Unmarshal(msg.Data, &ev); err != nil {
			t.Fatal(err)
		}
		ids[ev.Status] = msg.Header.Get(nats.MsgIdHdr)
	}
	if ids[task.Succeeded] != "a" || ids[task.Failed] == "a" || ids[task.Failed] == "" {
		t.Errorf("got message ids %v, want a for the task's event alone", ids)
	}
}
