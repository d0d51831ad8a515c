package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// A bucket that was recreated counts its revisions from 1 again, so the lost record gets another one. The worker must go on
// from that, whatever revision it had before.
func TestALostRecordIsWrittenAgainOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(""))
	for range 50 { // other tasks have written to the bucket before
		w.put("other", nil)
	}
	slow := newStall("status")
	verdict := w.start(slow, deliver(1))
	<-time.After(1100 * time.Millisecond) // until the worker is no longer certain of its record
	w.loseRecords()
	close(slow.resume)
	select {
	case err := <-verdict:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("got no verdict within 20 s")
	}
	w.wantOneEvent(success, 1)
}

// hooked calls a function before each answer.
type hooked struct {
	*marks
	canceled, until func()
}

func (h *hooked) Canceled(ctx context.Context, taskID, batch string) (task.Cancellation, bool) {
	h.canceled()
	return h.marks.Canceled(ctx, taskID, batch)
}

func (h *hooked) Until(ctx context.Context, taskID, batch string) (context.Context, context.CancelCauseFunc) {
	h.until()
	return h.marks.Until(ctx, taskID, batch)
}

// The bucket loses the record after it says running, and before the worker waits for the workflow: nobody can interrupt that
// wait yet. A worker that takes over must find the workflow all the same.
func TestARecordThatIsLostRightBeforeTheWaitIsWrittenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var first interface{ RecordsLost() }
	waits, lost := 0, make(chan struct{})
	w.steering = &hooked{newMarks(), func() {}, func() {
		waits++
		if waits == 1 {
			w.loseRecords()
			first.RecordsLost()
			close(lost)
		}
	}}
	deliver := w.request(body(""))
	ctx, dies := context.WithCancel(t.Context())
	defer dies()
	p := w.worker("w1", stepFunc(endless))
	first = p
	verdict := make(chan error, 1)
	go func() { verdict <- handle(ctx, p, deliver(1)) }()
	<-lost
	natstest.Eventually(t, w.runs)
	dies()
	if err := <-verdict; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// A worker that found the task in the middle of its submission waits until the time that the record names. A check for a
// cancellation can wait for the bucket, and must not delay the POST beyond what the record announced.
func TestTheRecordAnnouncesAPostThatACheckHasDelayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clock, w.postTimeout = &servertime.Clock{}, 10*time.Second
	checks, saved := 0, 0
	w.steering = &hooked{newMarks(), func() {
		checks++
		if saved == 1 && checks > 2 { // the one between the record and the POST
			saved++
			w.setClock(6 * time.Second)
		}
	}, func() {}}
	var left time.Duration
	watched := stepFunc(func(step string, act func() error) error {
		switch step {
		case "create":
			saved++
		case "submit":
			rec, err := w.records().Get(t.Context(), "a")
			if err != nil {
				return err
			}
			left = rec.PostUntil.Sub(w.clock.Now())
		}
		return act()
	})
	if err := handle(t.Context(), w.worker("w1", watched), w.request(body(""))(1)); err != nil {
		t.Fatal(err)
	}
	w.wantOneEvent(success, 1)
	if saved != 2 || left < 5*time.Second {
		t.Errorf("the record leaves %v for the POST, want more than 5 s (delayed: %t)", left, saved == 2)
	}
}

// A worker trusts a record that it has written from before the write: its acknowledgement may come late, when another worker
// has taken the task over.
func TestATakeoverIsTrustedFromBeforeItsWrite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(""))
	w.die("w1", &death{step: "status"}, deliver(1))
	<-time.After(2100 * time.Millisecond) // until the owner of before cannot trust its record any more
	published := 0
	slow := stepFunc(func(step string, act func() error) error {
		err := act()
		switch step {
		case "save running":
			rec, readErr := w.records().Get(t.Context(), "a")
			rec.Owner, rec.Epoch = "w3", rec.Epoch+1
			w.put("a", rec.JSON())
			<-time.After(1100 * time.Millisecond)
			return errors.Join(err, readErr)
		case "publish":
			published++
		}
		return err
	})
	if err := handle(t.Context(), w.worker("w2", slow), deliver(2)); !errors.Is(err, task.ErrNotOwner) || published != 0 {
		t.Errorf("got %v and %d events, want ErrNotOwner and none", err, published)
	}
}
