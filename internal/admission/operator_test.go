package admission_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/task"
)

// wantWaits fails the test unless submissions wait for a reason, and for so long.
func wantWaits(t *testing.T, a *admission.Admission, want task.WaitReason, wait time.Duration) {
	t.Helper()
	reason, until := a.Waits()
	if got := time.Until(until); reason != want || (wait == 0) != until.IsZero() || !until.IsZero() && (got-wait).Abs() > time.Second {
		t.Errorf("got %q until %v, want %q for %v", reason, until, want, wait)
	}
}

func TestNothingIsAdmittedWhileAnOperatorPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(2, rate.Inf)
		underWay := acquire(t, a)
		until := time.Now().Add(time.Hour)
		a.SetPause(task.Pause{Reason: "maintenance", Until: until}, true)
		in := queue(t.Context(), a, 3)
		wantWaits(t, a, task.ForPause, time.Hour)
		underWay(nil) // what is under way goes on, and ends no pause
		a.SetPause(task.Pause{By: "ada"}, true)
		<-time.After(2 * time.Hour) // it ends when it is told so
		if n := len(in); n != 0 {
			t.Fatalf("got %d submissions admitted during the pause, want none", n)
		}
		if got, paused := a.OperatorPause(); !paused || got.By != "ada" {
			t.Errorf("got %+v, %v, want the pause that came last", got, paused)
		}
		wantWaits(t, a, task.ForPause, 0)
		wantPaused(t, a, "")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := a.Acquire(ctx, "session", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want ctx's error", err)
		}
		a.SetPause(task.Pause{}, false)
		a.SetPause(task.Pause{}, false)
		for range 3 {
			next := <-in
			next.release(nil)
		}
		if _, paused := a.OperatorPause(); paused {
			t.Error("got a pause after its end")
		}
	})
}

// A submission may have waited for anything when the pause begins.
func TestAnOperatorsPauseStopsWhatAlreadyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pauses := func(name string, concurrency int, limit rate.Limit, arrange func(release func(error)) (until func())) {
			t.Helper()
			a := newAdmission(concurrency, limit)
			end := arrange(acquire(t, a))
			in := queue(t.Context(), a, 1)
			a.SetPause(task.Pause{}, true)
			if end != nil {
				end()
			}
			<-time.After(time.Hour)
			if n := len(in); n != 0 {
				t.Errorf("%s: got a submission during the pause", name)
			}
			a.SetPause(task.Pause{}, false)
			(<-in).release(nil)
		}
		pauses("a slot", 1, rate.Inf, func(release func(error)) func() { return func() { release(nil) } })
		pauses("a token", 2, rate.Every(time.Minute), func(release func(error)) func() { release(nil); return nil })
		pauses("the end of a pause", 2, rate.Inf, func(release func(error)) func() { release(notNow(time.Minute)); return nil })
	})
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(2, rate.Inf)
		tell(t, a, 0, 30*time.Second)
		in := queue(t.Context(), a, 1)
		a.SetPause(task.Pause{}, true)
		<-time.After(time.Hour)
		if n := len(in); n != 0 {
			t.Errorf("a start: got a submission during the pause")
		}
		a.SetPause(task.Pause{}, false)
		(<-in).release(nil)
	})
}

// The breaker opens, stays open and closes as without the operator's pause.
func TestAnOperatorsPauseLeavesTheAPIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(2, rate.Inf)
		underWay := acquire(t, a)
		a.SetPause(task.Pause{}, true)
		underWay(notNow(time.Hour))
		in := queue(t.Context(), a, 2)
		wantPaused(t, a, task.RateLimited)
		a.SetPause(task.Pause{}, false)
		<-time.After(30 * time.Minute)
		wantPaused(t, a, task.RateLimited)
		a.SetPause(task.Pause{}, true)
		<-time.After(time.Hour)
		wantPaused(t, a, "") // half-open: the probe waits for the operator
		a.SetPause(task.Pause{}, false)
		synctest.Wait()
		if n := len(in); n != 1 {
			t.Errorf("got %d submissions after the pauses, want the probe only", n)
		}
		(<-in).release(nil)
		(<-in).release(nil)
	})
}

// The answers to a burst of submissions differ. Only the one that began the pause says what it waits for.
func TestAStaleAnswerDoesNotHideThatThePlanIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(2, rate.Inf)
		first, second := acquire(t, a), acquire(t, a)
		first(&task.SubmitError{Kind: task.NotNow, Reason: task.RateLimited, HTTPStatus: 429}) // too many browsers
		second(&task.SubmitError{Kind: task.NotNow, Reason: task.Unavailable, HTTPStatus: 503})
		wantWaits(t, a, task.ForPlan, time.Second)
		a.BrowserFreed()
		wantWaits(t, a, task.ForSlots, 0)
	})
}

func TestWaitsSaysWhatTheNextSubmissionWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, rate.Every(time.Minute))
		release := acquire(t, a)
		in := queue(t.Context(), a, 1)
		wantWaits(t, a, task.ForSlots, 0)
		release(nil)
		synctest.Wait()
		wantWaits(t, a, task.ForRate, 0) // its own
		next := <-in
		next.release(&task.SubmitError{Kind: task.NotNow, Reason: task.NoCredits, RetryAfter: time.Minute})
		wantWaits(t, a, task.ForPause, time.Minute)
	})
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(2, rate.Inf)
		acquire(t, a)(&task.SubmitError{Kind: task.NotNow, Reason: task.RateLimited, HTTPStatus: 429}) // too many browsers
		wantWaits(t, a, task.ForPlan, time.Second)
		a.BrowserFreed()
		probe := acquire(t, a)
		wantWaits(t, a, task.ForPlan, 0) // until the probe is answered
		probe(&task.SubmitError{Kind: task.NotNow, Reason: task.RateLimited, HTTPStatus: 429})
		probe = acquire(t, a) // at the end of the pause
		wantWaits(t, a, task.ForPlan, 0)
		probe(nil)
		wantWaits(t, a, task.ForSlots, 0)
		acquire(t, a)(notNow(time.Minute)) // too many starts
		wantWaits(t, a, task.ForPause, time.Minute)
	})
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(2, rate.Inf)
		tell(t, a, 0, 30*time.Second)
		in := queue(t.Context(), a, 1)
		wantWaits(t, a, task.ForRate, 30*time.Second)
		(<-in).release(nil)
	})
}
