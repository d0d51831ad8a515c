package pipeline_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// A copy of a request shares the event of the running task.
func TestACopyOfARunningTaskIsAcknowledgedWithoutAnEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := newStall("status")
	verdict := w.start(slow, w.request(body(""))(1))
	w.finish("w2", w.request(body(""))(1))
	if events := w.events(); len(events) != 0 {
		t.Errorf("got %+v while the task runs, want none", events)
	}
	close(slow.resume)
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	if ev := w.wantOneEvent(success, 1); ev.Worker != "w1" {
		t.Errorf("got an event of %s, want one of w1", ev.Worker)
	}
}

// A copy whose original is not in the stream any more takes its place, or the task would never have an event.
func TestACopyOfATaskWhoseRequestWasRemovedTakesItOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	original := w.request(body(""))
	w.die("w1", &death{step: "status"}, original(1))
	w.remove(original(1))
	w.finish("w2", w.request(body(""))(1))
	w.wantOneEvent(success, 1)
}

// An operator removes the request of a running task, and a copy takes over while its owner lives: two workers end one
// workflow, with one event.
func TestACopyThatTakesOverALiveTaskPublishesNoSecondEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	original := w.request(body(""))
	slow := newStall("status")
	verdict := w.start(slow, original(1))
	w.remove(original(1))
	w.finish("w2", w.request(body(""))(1))
	close(slow.resume)
	if err := <-verdict; !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	w.wantOneEvent(success, 1)
}

// Two workers have the request, because NATS has forgotten a delivery. One of them reads the record, and takes the task
// over only after the other has gone a step further.
func TestATakeoverOfARecordThatHasChangedIsNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(`,"on_unknown_submission":"resubmit"`))
	w.die("w1", &death{step: "submit"}, deliver(1))

	handles := func(name string, does steps, d task.Delivery) (verdict <-chan error) {
		p, verdicts := w.worker(name, does), make(chan error, 1)
		go func() { verdicts <- handle(t.Context(), p, d) }()
		return verdicts
	}
	waits, runs, late := newStall("save waiting"), newStall("status"), newStall("save waiting")
	waits.after = true
	ownerVerdict := handles("w2", stepFunc(func(step string, act func() error) error {
		return waits.do(step, func() error { return runs.do(step, act) })
	}), deliver(2))
	<-waits.reached // the record says waiting, in epoch 2
	lateVerdict := handles("w3", late, deliver(3))
	<-late.reached // w3 is about to write epoch 3 over that
	close(waits.resume)
	<-runs.reached // the record says running
	close(late.resume)
	if err := <-lateVerdict; !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	close(runs.resume)
	if err := <-ownerVerdict; err != nil {
		t.Error(err)
	}
	w.wantOneEvent(success, 1)
}

// remove deletes a request, as an operator would.
func (w *world) remove(d task.Delivery) {
	w.t.Helper()
	if err := w.stream("TASKS").DeleteMsg(w.t.Context(), d.Seq); err != nil {
		w.t.Fatal(err)
	}
}

// loseTaskWhileStalled stalls a worker at a step until another has ended its task and the results stream has forgotten
// the event. It returns the verdict of the stalled worker, whose lease has expired.
func (w *world) loseTaskWhileStalled(slow stall) error {
	w.t.Helper()
	w.forgetEvents()
	deliver := w.request(body(""))
	first := deliver(1)
	var expired atomic.Bool
	first.LeaseExpired = expired.Load
	verdict := w.start(slow, first)
	w.finish("w2", deliver(2))
	<-time.After(2 * duplicateWindow)
	expired.Store(true)
	close(slow.resume)
	return <-verdict
}

const duplicateWindow = 200 * time.Millisecond

// forgetEvents shortens the duplicate window of the results stream.
func (w *world) forgetEvents() {
	w.t.Helper()
	cfg := w.stream(w.results.Stream).CachedInfo().Config
	cfg.Duplicates = duplicateWindow
	if _, err := w.js.UpdateStream(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

// A worker whose lease has expired checks its record before it publishes.
func TestAnOwnerWithAnExpiredLeasePublishesNothingOnceAnotherHasTheTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.loseTaskWhileStalled(newStall("status")); !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	if ev := w.wantOneEvent(success, 1); ev.Worker != "w2" {
		t.Errorf("got an event of %s, want one of w2", ev.Worker)
	}
}

// It checks its record before it submits, too: the task may have ended as submission_unknown.
func TestAnOwnerWithAnExpiredLeaseDoesNotSubmitOnceAnotherHasTheTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	afterCreate := newStall("create")
	afterCreate.after = true
	if err := w.loseTaskWhileStalled(afterCreate); !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	w.wantOneEvent(task.SubmissionUnknown, 0)
	if got := w.api.Log("a").Posts; got != 0 {
		t.Errorf("got %d POSTs of a task that had ended, want none", got)
	}
}

// The event of an earlier owner is found even after the stream has forgotten its message id.
func TestATaskThatIsTakenOverLongAfterItsEventHasOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forgetEvents()
	deliver := w.request(body(""))
	w.die("w1", &death{step: "save succeeded"}, deliver(1))
	<-time.After(2 * duplicateWindow)
	w.finish("w2", deliver(2))
	w.wantOneEvent(success, 1)
}

// The record says when the POST is over. Until then its owner can record the answer.
func TestASubmissionIsUnknownOnlyWhenItsPostIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(""))
	until := time.Now().Add(2 * time.Second)
	w.put("a", w.foundSubmitting(deliver(1), until).JSON())
	w.finish("w1", deliver(2))
	if ev := w.wantOneEvent(task.SubmissionUnknown, 0); ev.FinishedAt.Before(until) {
		t.Errorf("the task ended %v before the POST was over", until.Sub(ev.FinishedAt))
	}
}

// An owner that was cut off from NATS records the answer while the next worker waits: the workflow is resumed.
func TestAnAnswerThatIsRecordedLateIsResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(""))
	slow := newStall("save running")
	verdict := w.start(slow, deliver(1))
	rec, err := w.records().Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	rec.PostUntil = time.Now().Add(20 * time.Second) // the next worker checks it each second
	w.put("a", rec.JSON())
	second := make(chan error, 1)
	w2 := w.worker("w2", healthy{})
	go func() { second <- handle(t.Context(), w2, deliver(2)) }()
	<-time.After(300 * time.Millisecond) // the next worker has found it by then
	close(slow.resume)                   // its record was overwritten by the same one, so it writes it again
	if first := <-verdict; first != nil && !errors.Is(first, task.ErrNotOwner) {
		t.Errorf("got %v of the first worker, want its success or ErrNotOwner", first)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	w.wantOneEvent(success, 1)
}

// foundSubmitting is the record of a task whose POST another worker has announced.
func (w *world) foundSubmitting(d task.Delivery, until time.Time) task.Record {
	w.t.Helper()
	req, err := task.ParseRequest(d, task.Defaults{Timeout: time.Minute})
	if err != nil {
		w.t.Fatal(err)
	}
	return task.Record{
		TaskID: "a", State: task.Submitting, Owner: "w9", Epoch: 1, RequestSeq: d.Seq, RequestedAt: d.Stored, Attempts: 1,
		Digest: req.Digest, PostUntil: until,
	}
}

// The repetition of a submission of unknown outcome is not accepted before expires_at: the first may be running, and
// the event reports that.
func TestARepetitionThatExpiresLeavesTheFirstUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock = &servertime.Clock{}
	deliver := w.request(w.planned(anchortest.Plan{Submit: []anchortest.Fault{
		anchortest.Reset().ButAccepted(), anchortest.RateLimited(60),
	}}, `,"on_unknown_submission":"resubmit","expires_at":"`+time.Now().Add(time.Hour).Format(time.RFC3339Nano)+`"`))
	submissions := 0
	expires := stepFunc(func(step string, act func() error) error {
		if step == "submit" {
			submissions++
		}
		err := act()
		if submissions == 2 {
			w.setClock(2 * time.Hour)
		}
		return err
	})
	if err := handle(t.Context(), w.worker("w1", expires), deliver(1)); err != nil {
		t.Fatal(err)
	}
	w.wantOneEvent(task.SubmissionUnknown, 1)
}

// setClock lets the server's clock be that far ahead of the workers'.
func (w *world) setClock(ahead time.Duration) {
	w.t.Helper()
	now := time.Now()
	w.clock.Observe(now.Add(ahead), now, now)
}
