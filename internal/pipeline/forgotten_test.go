package pipeline_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// The event of a task does not answer a request with the same task id and other content.
func TestARequestWithOtherContentIsNotAnsweredByAnotherTasksEvent(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	a := w.request(body(`,"metadata":{"of":"a"}`))
	b := w.request(`{"task_id":"a","prompt":"something else","url":"https://example.com","metadata":{"of":"b"}}`)
	w.finish("w1", a(1))
	w.loseRecords()
	w.finish("w2", b(1))
	if msgs := w.messages(); msgs[len(msgs)-1].Header.Get("Capstan-Replay") != "" {
		t.Errorf("the request with other content was answered with the event of the first")
	}
	w.finish("w2", w.request(body(""))(1)) // a true copy of the first
	if events := w.events(); events[len(events)-1].Error != nil {
		t.Errorf("a true copy of the first request got %v", events[len(events)-1].Error)
	}
}

// A request was refused, corrected, and sent again under the same task id. Its event has a message id of its own.
func TestACorrectedRequestIsNotRunAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forgotten  bool
		deliveries uint64
	}{"as if never": {false, 1}, "redelivered": {false, 2}, "redelivered, ids forgotten": {true, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			w.finish("w1", w.request(body(`,"max_steps":0`))(1)) // refused, under the id "a"
			deliver := w.request(body(""))
			w.finish("w1", deliver(1)) // succeeds, under the id "a/2/..."
			if c.forgotten {
				w.forgetEvents()
				<-time.After(2 * duplicateWindow)
			}
			w.loseRecords()
			w.finish("w2", deliver(c.deliveries))
			if got := w.api.Totals().Accepted; got != 1 {
				t.Errorf("got %d workflows, want 1", got)
			}
			if got := len(w.events()); got != 2 {
				t.Errorf("got %d events, want 2", got)
			}
		})
	}
}

// Once the stream has forgotten the message id, several events can have the same one.
func TestALaterRefusalDoesNotHideTheEventOfATask(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	w.forgetEvents()
	deliver := w.request(body(""))
	w.finish("w1", deliver(1))
	w.loseRecords()
	<-time.After(2 * duplicateWindow)
	w.finish("w1", w.request(body(`,"max_steps":0`))(1))
	w.finish("w2", deliver(1))
	if got := w.api.Totals().Accepted; got != 1 {
		t.Errorf("got %d workflows, want 1", got)
	}
}

// A copy writes the record again by the event of its original, which needs only its acknowledgement.
func TestTheOriginalIsNotReplayedAfterItsCopy(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	original, copied := w.request(body("")), w.request(body(""))
	w.die("w1", &death{step: "save succeeded"}, original(1))
	w.loseRecords()
	w.finish("w2", copied(1))
	w.finish("w2", original(2))
	if got := len(w.events()); got != 2 {
		t.Errorf("got %d events, want the event and one replay", got)
	}
}

// Another program may store a message under the id of a task.
func TestAMessageOfAnotherProgramEndsNoTask(t *testing.T) {
	t.Parallel()
	for _, foreign := range []string{`{"task_id":"a"}`, `{"task_id":"a","status":"running"}`} {
		t.Run(foreign, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			deliver := w.request(body(""))
			_, err := w.js.PublishMsg(t.Context(), &nats.Msg{Subject: "tasks.result", Data: []byte(foreign), Header: nats.Header{nats.MsgIdHdr: {"a"}}})
			if err != nil {
				t.Fatal(err)
			}
			w.loseRecords()
			w.finish("w2", deliver(1))
			if got := w.api.Totals().Accepted; got != 1 {
				t.Errorf("got %d workflows, want 1", got)
			}
		})
	}
}

// A worker that has lost its task uploads another result for the same request.
func TestAnUploadDoesNotOverwriteTheObjectOfAStoredEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	large := anchortest.Large(3 << 20)
	large.Fill, large.Times = "first-api-key ", -1
	deliver := w.request(w.planned(anchortest.Plan{Poll: []anchortest.Fault{large}}, ""))
	first := deliver(1)
	var expired atomic.Bool
	first.LeaseExpired = expired.Load
	w.keys = func() []string { return []string{"first-api-key"} }
	slow := newStall("offload")
	verdict := w.start(slow, first)
	w.keys = func() []string { return []string{"other-api-key"} } // the second worker has another key
	expired.Store(true)
	w.finish("w2", deliver(2))
	ref := w.events()[0].ResultRef
	if ref == nil {
		t.Fatalf("not large: %.600s", w.messages()[0].Data)
	}
	objects, err := w.js.ObjectStore(t.Context(), w.results.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	before, err := objects.GetInfo(t.Context(), ref.Name)
	if err != nil || before.Digest != ref.Digest {
		t.Fatal(err, before.Digest, ref.Digest)
	}
	close(slow.resume)
	if err := <-verdict; !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	after, err := objects.GetInfo(context.Background(), ref.Name)
	if err != nil {
		t.Fatal(err)
	}
	if after.Digest != ref.Digest || after.NUID != before.NUID {
		t.Errorf("the object was overwritten: digest %s, the event says %s", after.Digest, ref.Digest)
	}
}

// A replay and a duplicate_task answer a request, too.
func TestARequestThatWasAnsweredIsNotRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		second     string
		deliveries uint64
	}{
		"replay, as if never":         {body(""), 1},
		"replay, redelivered":         {body(""), 2},
		"duplicate_task, as if never": {`{"task_id":"a","prompt":"something else","url":"https://example.com"}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			w.finish("w1", w.request(body(""))(1))
			second := w.request(c.second)
			w.finish("w1", second(1)) // answered
			w.loseRecords()
			w.finish("w2", second(c.deliveries))
			if got := w.api.Totals().Accepted; got != 1 {
				t.Errorf("got %d workflows, want 1", got)
			}
			if got := len(w.events()); got != 2 {
				t.Errorf("got %d events, want 2", got)
			}
		})
	}
}
