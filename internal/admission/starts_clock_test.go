package admission_test

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// setAhead makes a clock tell that much more than this machine's.
func setAhead(clock *servertime.Clock, ahead time.Duration) {
	now := time.Now()
	clock.Observe(now.Add(ahead), now, now)
}

// For a moment the clock of one worker is two hours off, while it takes the last start.
func TestAWrongClockDoesNotHoldOtherWorkersBack(t *testing.T) {
	for _, ahead := range []time.Duration{2 * time.Hour, -2 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			shared, clock := &store{}, &servertime.Clock{}
			api := &account{quota: 5, window: time.Minute, latency: 100 * time.Millisecond}
			wrong, right := worker{newAdmission(16, rate.Inf), api}, worker{newAdmission(16, rate.Inf), api}
			wrong.Join(t.Context(), admission.Fleet{Store: shared, Workers: 2, Clock: clock})
			right.Join(t.Context(), admission.Fleet{Store: shared, Workers: 2})
			runEach(t, right, 4)
			setAhead(clock, ahead)
			runEach(t, wrong, 1)
			setAhead(clock, 0)
			began := time.Now()
			runEach(t, right, 20)
			runEach(t, wrong, 5)
			if took := time.Since(began); took > 6*time.Minute {
				t.Errorf("%v ahead: 25 submissions took %v, want the 5m of five windows", ahead, took)
			}
		})
	}
}

func runEach(t *testing.T, w worker, tasks int) {
	t.Helper()
	for range tasks {
		if err := w.run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// The workers' clock is that of a NATS server, and another server's may be two hours behind.
func TestAClockThatIsSetBackHoldsNothingBack(t *testing.T) {
	for name, shared := range map[string]task.Shared{"alone": nil, "with a store": &store{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := &servertime.Clock{}
				setAhead(clock, 2*time.Hour)
				a := newAdmission(16, rate.Inf)
				a.Join(t.Context(), admission.Fleet{Store: shared, Workers: 1, Clock: clock})
				tell(t, a, 0, 30*time.Second)
				setAhead(clock, 0)
				wantWaited(t, a, 0, 100*time.Millisecond)
			})
		})
	}
}

func TestAnswersCountAfterTheClockIsSetBack(t *testing.T) {
	for name, shared := range map[string]task.Shared{"alone": nil, "with a store": &store{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := &servertime.Clock{}
				setAhead(clock, 2*time.Hour)
				a := newAdmission(16, rate.Inf)
				a.Join(t.Context(), admission.Fleet{Store: shared, Workers: 1, Clock: clock})
				first, second := acquire(t, a), acquire(t, a)
				note(a, 1)
				setAhead(clock, 0)
				note(a, 0)
				first(nil)
				second(nil)
				wantFree(t, a, 0)
				wantWaited(t, a, 29*time.Second, 31*time.Second)
			})
		})
	}
}

// note tells that so many remain, for 30 s.
func note(a *admission.Admission, remaining int) {
	a.NoteStarts(task.Starts{Sent: time.Now(), Remaining: remaining, Reset: 30 * time.Second, Quota: 5, Window: time.Minute})
}

// What a worker was told while its clock was wrong does not replace what the others know.
func TestAnAnswerByAWrongClockReplacesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, clock := &store{}, &servertime.Clock{}
		wrong, right := newAdmission(16, rate.Inf), newAdmission(16, rate.Inf)
		wrong.Join(t.Context(), admission.Fleet{Store: shared, Workers: 2, Clock: clock})
		right.Join(t.Context(), admission.Fleet{Store: shared, Workers: 2})
		release := acquire(t, wrong)
		tell(t, right, 0, 30*time.Second)
		setAhead(clock, 2*time.Hour)
		note(wrong, 4)
		setAhead(clock, 0)
		release(nil)
		wantWaited(t, right, 29*time.Second, 31*time.Second)
	})
}

// A store that failed is used again after 30 s, whatever the workers' clock tells.
func TestAClockThatIsSetBackDoesNotKeepAWorkerAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared, clock := &store{}, &servertime.Clock{}
		setAhead(clock, 2*time.Hour)
		fleet := admission.Fleet{Store: shared, Workers: 2, Clock: clock}
		a := newAdmission(16, rate.Inf)
		shared.fail(errStore)
		a.Join(t.Context(), fleet)
		shared.fail(nil)
		setAhead(clock, 0)
		<-time.After(time.Minute)
		tell(t, a, 3, 30*time.Second)
		if shared.value == nil {
			t.Error("the worker does not share what it was told")
		}
	})
}
