package pipeline_test

import (
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

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
