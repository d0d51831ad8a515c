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

// A worker that has only read knows the age of the bucket from up to a second ago.
func TestAWorkerThatWroteNothingNoticesARecreatedBucket(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	slow := newStall("status")
	verdict := w.start(slow, w.request(body(""))(1))
	second := w.worker("w2", healthy{})
	if err := handle(t.Context(), second, w.request(body(""))(1)); err != nil { // shares the event
		t.Fatal(err)
	}
	duplicate := w.request(body(""))
	w.loseRecords()
	copied := make(chan error, 1)
	go func() { copied <- handle(t.Context(), second, duplicate(1)) }()
	<-time.After(time.Second)
	close(slow.resume) // the owner writes its record again, with its next step
	for _, err := range []error{<-verdict, <-copied} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := w.api.Accepted("a"); got != 1 {
		t.Errorf("got %d runs, want 1", got)
	}
}

// The bucket is recreated while the first record of a copy is being written, as in an outage of NATS.
func TestABucketThatIsRecreatedDuringTheFirstWriteIsNoticed(t *testing.T) {
	t.Parallel()
	for name, before := range map[string][]string{"a new worker": nil, "a worker that used the old bucket": {"b", "c"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			w.finish("w1", w.request(body(""))(1))
			slow := newStall("create")
			slow.after = false
			armed := false
			second := w.worker("w2", stepFunc(func(step string, act func() error) error {
				if armed {
					return slow.do(step, act)
				}
				return act()
			}))
			for _, id := range before {
				other := w.request(`{"task_id":"` + id + `","prompt":"b","url":"https://example.com"}`)
				if err := handle(t.Context(), second, other(1)); err != nil {
					t.Fatal(err)
				}
			}
			armed = true
			duplicate := w.request(body(""))
			copied := make(chan error, 1)
			go func() { copied <- handle(t.Context(), second, duplicate(1)) }()
			<-slow.reached
			w.loseRecords()
			close(slow.resume)
			if err := <-copied; err != nil {
				t.Error(err)
			}
			if got := w.api.Accepted("a"); got != 1 {
				t.Errorf("got %d runs, want 1", got)
			}
		})
	}
}

// A copy is published after its task has ended, and before the bucket is deleted.
func TestALaterCopyOfAnEndedTaskIsNotRun(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	w.finish("w1", w.request(body(""))(1))
	later := w.request(body(""))
	w.loseRecords()
	w.finish("w2", later(1))
	if got := w.api.Accepted("a"); got != 1 {
		t.Errorf("got %d runs, want 1", got)
	}
}

// The bucket is recreated during a POST. Its worker writes the record again only after that.
func TestACopyWaitsForALongSubmission(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	w.postTimeout = 10 * time.Second
	slow := newStall("submit")
	first := w.worker("w1", slow)
	verdict := make(chan error, 1)
	original := w.request(body(""))
	go func() { verdict <- handle(t.Context(), first, original(1)) }()
	<-slow.reached
	second := w.worker("w2", healthy{})
	duplicate := w.request(body(""))
	w.loseRecords()
	first.RecordsLost()
	copied := make(chan error, 1)
	go func() { copied <- handle(t.Context(), second, duplicate(1)) }()
	<-time.After(8 * time.Second) // the default time-out of a call is 30 s
	close(slow.resume)
	for _, err := range []error{<-verdict, <-copied} {
		if err != nil {
			t.Error(err)
		}
	}
	if got := w.api.Accepted("a"); got != 1 {
		t.Errorf("got %d runs, want 1", got)
	}
}

// A workflow ends in time, while its record is written again until after the deadline.
func TestAWorkflowThatEndedWhileItsRecordWasRestoredDidNotTimeOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(w.planned(anchortest.Plan{Block: true}, `,"timeout":"2s"`))
	armed := make(chan struct{})
	slow := newStall("save running")
	first := w.worker("w1", stepFunc(func(step string, act func() error) error {
		select {
		case <-armed:
			return slow.do(step, act)
		default:
			return act()
		}
	}))
	verdict := make(chan error, 1)
	go func() { verdict <- handle(t.Context(), first, deliver(1)) }()
	<-time.After(500 * time.Millisecond)
	close(armed)
	w.loseRecords()
	first.RecordsLost()
	<-slow.reached // NATS is slow from here
	w.api.ReleaseAll()
	<-time.After(2 * time.Second)
	close(slow.resume)
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	w.wantOneEvent(success, 1)
}
