package pipeline_test

import (
	"errors"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// newAgedWorld returns a world whose streams are so old that a bucket which is created now counts as recreated.
func newAgedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	timer := time.NewTimer(2100 * time.Millisecond)
	<-timer.C
	return w
}

// The bucket is deleted, and the worker that ran the task dies. Whether it was submitted is unknown.
func TestATaskWhoseRecordAndWorkerAreLostIsNotRunAgain(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]string{
		"by default": "",
		"where its request allows one repetition, which may be used": `,"on_unknown_submission":"resubmit"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			deliver := w.request(body(fields))
			w.die("w1", &death{step: "status"}, deliver(1))
			w.loseRecords()
			w.finish("w2", deliver(2))
			w.wantOneEvent(task.SubmissionUnknown, 1)
		})
	}
}

// The bucket is deleted after a task has ended, and NATS has forgotten what it knew of the request or of a copy: that it
// was acknowledged, or even that it was delivered. The stored event tells that the task has ended.
func TestATaskThatHasEndedIsNotRunAgainThoughItsRecordIsLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		copied     bool
		deliveries uint64
		events     int
	}{
		"the request is redelivered":            {false, 2, 1},
		"the request is delivered as if never":  {false, 1, 1},
		"a copy of it is redelivered":           {true, 2, 2},
		"a copy of it is delivered as if never": {true, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			deliver := w.request(body(""))
			again := deliver
			if c.copied {
				again = w.request(body(""))
			}
			w.finish("w1", deliver(1))
			w.loseRecords()
			w.finish("w2", again(c.deliveries))
			events := w.events()
			if got := w.api.Totals().Accepted; got != 1 || len(events) != c.events {
				t.Fatalf("got %d workflows and %d events, want 1 and %d", got, len(events), c.events)
			}
			for _, ev := range events {
				if ev.WorkflowID != events[0].WorkflowID || ev.Status != task.Succeeded {
					t.Errorf("got event %+v, want a repetition of the first", ev)
				}
			}
		})
	}
}

// The event of a refused request does not say that the task with its id has ended.
func TestARefusedRequestDoesNotEndATaskWhoseRecordMayBeLost(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	deliver := w.request(body(""))
	w.finish("w1", w.request(body(`,"max_steps":0`))(1))
	w.loseRecords()
	w.finish("w2", deliver(1))
	if events := w.events(); len(events) != 2 || events[1].Status != task.Succeeded {
		t.Errorf("got events %+v, want a refusal and a success", events)
	}
}

// A request that was stored after the bucket was created cannot have had a record in an earlier bucket.
func TestANewTaskOfARecreatedBucketIsRun(t *testing.T) {
	t.Parallel()
	w := newAgedWorld(t)
	w.loseRecords()
	w.finish("w2", w.request(body(""))(2)) // the first worker died at once
	w.wantOneEvent(success, 1)
}

// A copy of a request arrives after the bucket was created again, and before the worker that runs the task has written
// its record again. The worker of the copy may have used the old bucket: then its own first record shows the change.
func TestACopyWaitsUntilTheRecordsAreWrittenAgain(t *testing.T) {
	t.Parallel()
	for name, before := range map[string][]string{"a new worker": nil, "a worker that used the old bucket": {"b", "c"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			slow := newStall("status")
			verdict := w.start(slow, w.request(body(""))(1))
			second := w.worker("w2", healthy{})
			for _, id := range before {
				other := w.request(`{"task_id":"` + id + `","prompt":"b","url":"https://example.com"}`)
				if err := handle(t.Context(), second, other(1)); err != nil {
					t.Fatal(err)
				}
			}
			duplicate := w.request(body(""))
			w.loseRecords()
			copied := make(chan error, 1)
			go func() { copied <- handle(t.Context(), second, duplicate(1)) }()
			select {
			case err := <-copied:
				t.Errorf("got %v at once, want the copy to wait", err)
			case <-time.After(time.Second):
			}
			close(slow.resume)
			for _, ended := range []<-chan error{verdict, copied} {
				if err := <-ended; err != nil {
					t.Error(err)
				}
			}
			if got := w.api.Accepted("a"); got != 1 {
				t.Errorf("got %d runs, want 1", got)
			}
		})
	}
}

// Two workers have the request, because NATS has forgotten a delivery, and the bucket is deleted before the one that
// waits to submit the task writes its record. The other one has finished the task, or runs it.
func TestAWaitingTaskWhoseRecordIsLostIsNotSubmittedIfAnotherWorkerHasIt(t *testing.T) {
	t.Parallel()
	for name, finished := range map[string]bool{"finished": true, "running": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			deliver := w.request(w.planned(anchortest.Plan{Submit: []anchortest.Fault{anchortest.RateLimited(0)}}, ""))
			slow := newStall("save submitting")
			slowVerdict := w.start(slow, deliver(1)) // the first POST is refused, and the second one is about to be announced

			runs, other := newStall("status"), make(chan error, 1)
			second := w.worker("w2", runs)
			go func() { other <- handle(t.Context(), second, deliver(2)) }()
			<-runs.reached
			if finished {
				close(runs.resume)
				if err := <-other; err != nil {
					t.Fatal(err)
				}
				w.remove(deliver(2)) // acknowledged
			}
			w.loseRecords()
			close(slow.resume)
			if !finished {
				close(runs.resume) // it writes its record again, with its next step
				if err := <-other; err != nil {
					t.Fatal(err)
				}
			}
			if err := <-slowVerdict; !errors.Is(err, task.ErrNotOwner) {
				t.Errorf("got %v, want ErrNotOwner", err)
			}
			w.wantOneEvent(success, 1)
		})
	}
}
