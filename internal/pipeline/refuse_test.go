package pipeline_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

// messageIDs returns the message ids of the stored events.
func (w *world) messageIDs() []string {
	w.t.Helper()
	s := w.stream(w.results.Stream)
	var ids []string
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		msg, err := s.GetMsg(w.t.Context(), seq)
		if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, msg.Header.Get("Nats-Msg-Id"))
	}
	return ids
}

// besideID is the message id of an event beside the task's own, in answer to this request.
func besideID(taskID string, m task.Delivery) string {
	return fmt.Sprintf("%s/%d/%d", taskID, m.Seq, m.Stored.UnixMilli())
}

const broken = `{"task_id":"a","prompt":" ","url":"https://example.com"}`

func TestABrokenRequestDoesNotTakeTheMessageIDOfARunningTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	running := stall{step: "publish", reached: make(chan struct{}), goOn: make(chan struct{})}
	good := w.request(fmt.Sprintf(request, ""))
	ended := make(chan error, 1)
	w1 := w.worker("w1", running)
	go func() { ended <- handle(t.Context(), w1, good(1)) }()
	<-running.reached
	refused := w.request(broken)
	if err := handle(t.Context(), w.worker("w2", healthy{}), refused(1)); err != nil {
		t.Fatal(err)
	}
	close(running.goOn)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if got, want := w.messageIDs(), []string{besideID("a", refused(1)), "a"}; !slices.Equal(got, want) {
		t.Errorf("got message ids %q, want %q", got, want)
	}
}

func TestABrokenRequestUnderAFreeIDLeavesRoomForTheMendedOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	worker := w.worker("w1", healthy{})
	refused, good := w.request(broken), w.request(fmt.Sprintf(request, ""))
	for _, deliver := range []func(uint64) task.Delivery{refused, good} {
		if err := handle(t.Context(), worker, deliver(1)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := w.messageIDs(), []string{"a", besideID("a", good(1))}; !slices.Equal(got, want) {
		t.Errorf("got message ids %q, want %q", got, want)
	}
	if events := w.events(); events[1].Status != task.Succeeded {
		t.Errorf("got %+v, want the mended request's success", events[1])
	}
}
