package pipeline_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/capstan-worker/capstan/internal/task"
)

// messageIDs returns the message ids of the stored events.
func (w *world) messageIDs() (ids []string) {
	w.t.Helper()
	for _, msg := range w.messages() {
		ids = append(ids, msg.Header.Get("Nats-Msg-Id"))
	}
	return ids
}

// ownID is the message id of an event that answers this request and is not the task's own.
func ownID(d task.Delivery) string { return fmt.Sprintf("a/%d/%d", d.Seq, d.Stored.UnixMilli()) }

const broken = `{"task_id":"a","prompt":" ","url":"https://example.com"}`

func TestABrokenRequestDoesNotTakeTheMessageIDOfARunningTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := newStall("publish")
	verdict := w.start(slow, w.request(body(""))(1))
	refused := w.request(broken)(1)
	w.finish("w2", refused)
	close(slow.resume)
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	if got, want := w.messageIDs(), []string{ownID(refused), "a"}; !slices.Equal(got, want) {
		t.Errorf("got message ids %q, want %q", got, want)
	}
}

func TestABrokenRequestUnderAFreeIDIsNoObstacleToTheFixedOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	refused, fixed := w.request(broken)(1), w.request(body(""))(1)
	w.finish("w1", refused)
	w.finish("w1", fixed)
	if got, want := w.messageIDs(), []string{"a", ownID(fixed)}; !slices.Equal(got, want) {
		t.Errorf("got message ids %q, want %q", got, want)
	}
	if events := w.events(); events[1].Status != task.Succeeded {
		t.Errorf("got %+v, want the fixed request's success", events[1])
	}
}
