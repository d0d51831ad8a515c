package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// loseRecords deletes the bucket and creates it again.
func (w *world) loseRecords() {
	w.t.Helper()
	cfg := w.stream(w.tracker.Stream()).CachedInfo().Config
	if err := w.js.DeleteStream(w.t.Context(), cfg.Name); err != nil {
		w.t.Fatal(err)
	}
	natstest.Stream(w.t, w.js, cfg)
}

// storedRecord returns the task's record as the bucket holds it.
func (w *world) storedRecord() string {
	w.t.Helper()
	msg, err := w.stream(w.tracker.Stream()).GetLastMsgForSubject(w.t.Context(), w.tracker.Subject("a"))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(msg.Data)
}

// runs returns nil if the task's record says running.
func (w *world) runs() error {
	rec, err := w.records().Get(w.t.Context(), "a")
	if err == nil && rec.State != task.Running {
		err = fmt.Errorf("got %q, want running", rec.State)
	}
	return err
}

// The bucket is deleted while a worker runs a task. The worker lives and knows the workflow: the task ends once.
func TestATaskWhoseRecordIsLostEndsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(""))
	slow := newStall("status")
	verdict := w.start(slow, deliver(1))
	w.loseRecords()
	close(slow.resume)
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	w.finish("w2", deliver(2)) // the ack is lost
	w.wantOneEvent(success, 1)
}

// A worker has lost its task and does not know it, and another one has ended the task. When the bucket is deleted, the
// first must not write its old record: the task would count as running.
func TestARecordIsNotWrittenAgainAfterItsTaskHasEndedElsewhere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ended bool // else an operator has removed the request
		want  error
	}{
		"the task has ended":                  {true, task.ErrNotOwner},
		"an operator has removed the request": {false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			deliver := w.request(body(""))
			var mayEnd atomic.Bool
			first := w.worker("w1", stepFunc(func(step string, act func() error) error {
				if mayEnd.Load() {
					return act()
				}
				return endless(step, act)
			}))
			verdict := make(chan error, 1)
			go func() { verdict <- handle(t.Context(), first, deliver(1)) }()
			natstest.Eventually(t, w.runs)
			if c.ended {
				w.finish("w2", deliver(2))
			}
			w.remove(deliver(3)) // as an ack does
			w.loseRecords()
			mayEnd.Store(true)
			first.RecordsLost()
			if err := <-verdict; !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			w.wantOneEvent(success, 1)
			_, err := w.records().Get(t.Context(), "a")
			if wasWritten := err == nil; wasWritten == c.ended {
				t.Errorf("got the error %v for the record, want a record: %v", err, !c.ended)
			}
		})
	}
}

// A bucket that was recreated counts its revisions from 1 again. While a task waits to be submitted, another worker's
// record can get the revision that the waiting worker would write over.
func TestAnotherWorkersRecordWithTheSameRevisionIsNotOverwritten(t *testing.T) {
	t.Parallel()
	otherHasTheTask(t, func(w *world, rec task.Record) {
		for range rec.Revision - 1 {
			w.put("other", nil)
		}
		rec.Owner, rec.Epoch, rec.State = "w2", rec.Epoch+1, task.Succeeded
		w.put("a", rec.JSON())
	})
}

// A worker that has lost its task and does not know it writes its record first after the bucket was recreated, with an
// earlier epoch, and submits the task.
func TestATaskThatAnEarlierOwnerHasSubmittedIsNotSubmittedAgain(t *testing.T) {
	t.Parallel()
	for _, state := range []task.State{task.Submitting, task.Running} {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			otherHasTheTask(t, func(w *world, rec task.Record) {
				rec.Owner, rec.Epoch, rec.State, rec.Attempts = "w2", rec.Epoch-1, state, rec.Attempts+1
				if state == task.Running {
					rec.WorkflowID = "wf"
				}
				w.put("a", rec.JSON())
			})
		})
	}
}

// otherHasTheTask recreates the bucket while a task waits to be submitted. Another worker writes its record there. The
// one that waits must not submit the task.
func otherHasTheTask(t *testing.T, other func(w *world, rec task.Record)) {
	t.Helper()
	w := newWorld(t)
	waits := newStall("save waiting")
	waits.after = true
	deliver := w.request(w.planned(anchortest.Plan{Submit: []anchortest.Fault{anchortest.RateLimited(0)}}, ""))
	first := w.worker("w1", waits)
	verdict := make(chan error, 1)
	go func() { verdict <- handle(t.Context(), first, deliver(1)) }()
	<-waits.reached
	rec, err := w.records().Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	w.loseRecords()
	other(w, rec)
	<-time.After(1100 * time.Millisecond) // until the worker is no longer certain of its record
	posts := w.api.Totals().Posts
	close(waits.resume)
	if err := <-verdict; !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	if got := w.api.Totals().Posts; got != posts {
		t.Errorf("got %d POSTs after another worker had ended the task", got-posts)
	}
}

// If the worker dies after it learned of the loss, the next worker resumes the workflow.
func TestALostRecordIsWrittenAgainWhileItsTaskRuns(t *testing.T) {
	t.Parallel()
	newWorld(t).writesLostRecord(false)
}

// The lease of a worker has expired, but nobody else knows the workflow: the next owner resumes it.
func TestAnOwnerWithAnExpiredLeaseStillWritesWhatItKnows(t *testing.T) {
	t.Parallel()
	newAgedWorld(t).writesLostRecord(true)
}

// writesLostRecord runs a task on a worker whose record is lost, and whose lease may have expired before. It must write
// the record again before it dies.
func (w *world) writesLostRecord(leaseExpired bool) {
	w.t.Helper()
	deliver := w.request(body(""))
	ctx, dies := context.WithCancel(w.t.Context())
	defer dies()
	first := w.worker("w1", stepFunc(endless))
	var expired atomic.Bool
	d := deliver(1)
	d.LeaseExpired = expired.Load
	verdict := make(chan error, 1)
	go func() { verdict <- handle(ctx, first, d) }()
	natstest.Eventually(w.t, w.runs)
	expired.Store(leaseExpired)
	w.loseRecords()
	first.RecordsLost()
	natstest.Eventually(w.t, w.runs)
	dies()
	if err := <-verdict; !errors.Is(err, context.Canceled) {
		w.t.Errorf("got %v, want the context's error", err)
	}
	w.finish("w2", deliver(2))
	w.wantOneEvent(success, 1)
}

// NATS loses its last writes: the record is an older one of the same task.
func TestARecordThatWentBackIsWrittenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := newStall("status")
	verdict := w.start(slow, w.request(body(""))(1))
	old, err := w.records().Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	old.State, old.WorkflowID = task.Submitting, ""
	w.put(old.TaskID, old.JSON())
	close(slow.resume)
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	w.wantOneEvent(success, 1)
}

// A worker whose lease has expired writes no record: another one may run the task, and may have ended it.
func TestAnOwnerWithAnExpiredLeaseBeginsNoTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.request(body(""))(1)
	d.LeaseExpired = func() bool { return true }
	if err := handle(t.Context(), w.worker("w1", healthy{}), d); !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	if _, err := w.records().Get(t.Context(), "a"); !errors.Is(err, task.ErrNoRecord) {
		t.Errorf("got %v, want ErrNoRecord", err)
	}
}

// Two versions work side by side: members of a record that this version does not know survive its writes.
func TestUnknownMembersOfARecordAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(""))
	w.die("w1", &death{step: "status"}, deliver(1))
	const unknown = `"cost":"b1","parts":[{"code":"timeout"}]`
	w.put("a", []byte(strings.TrimSuffix(w.storedRecord(), "}")+","+unknown+"}"))
	w.finish("w2", deliver(2))
	if got := w.storedRecord(); !strings.Contains(got, `"state":"succeeded"`) || !strings.Contains(got, unknown) {
		t.Errorf("got %s, want the ended record with %s", got, unknown)
	}
}

// A newer version may know states that this one does not.
func TestARecordOfANewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(""))
	newer := `{"task_id":"a","state":"paused","owner":"w9","epoch":3,"request_seq":1,"digest":"d","requested_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}`
	w.put("a", []byte(newer))
	if err := handle(t.Context(), w.worker("w1", healthy{}), deliver(1)); !errors.Is(err, task.ErrNewerRecord) {
		t.Errorf("got %v, want ErrNewerRecord", err)
	}
	if got := w.storedRecord(); got != newer || len(w.events()) != 0 || w.api.Totals().Accepted != 0 {
		t.Errorf("got record %s, %d events and %d workflows, want all as it was", got, len(w.events()), w.api.Totals().Accepted)
	}
}
