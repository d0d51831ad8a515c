package admission_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/task"
)

// tell submits, and the answer tells that so many remain, for that long.
func tell(t *testing.T, a *admission.Admission, remaining int, reset time.Duration) {
	t.Helper()
	release := acquire(t, a)
	a.NoteStarts(task.Starts{Sent: time.Now(), Remaining: remaining, Reset: reset, Quota: 5, Window: time.Minute})
	release(nil)
}

func wantWaited(t *testing.T, a *admission.Admission, least, most time.Duration) {
	t.Helper()
	release, waited := probe(t, a)
	if waited < least || waited > most {
		t.Errorf("waited %v, want %v to %v", waited, least, most)
	}
	release(nil)
}

func TestNothingWaitsWhileStartsRemain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		for remaining := 4; remaining >= 1; remaining-- {
			tell(t, a, remaining, 58*time.Second)
			wantFree(t, a, remaining)
		}
		wantWaited(t, a, 0, 0)
	})
}

func wantFree(t *testing.T, a *admission.Admission, want int) {
	t.Helper()
	if got, told := a.Starts(); got != want || !told {
		t.Errorf("got %d starts, told %v, want %d", got, told, want)
	}
}

func TestSubmissionsWaitForTheEndOfTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		a := admission.New(admission.Config{Concurrency: 4}, rate.NewLimiter(rate.Inf, 1), reg, zerolog.Nop())
		tell(t, a, 0, 30*time.Second)
		in := queue(t.Context(), a, 1)
		until, held := a.Held()
		if got := time.Until(until); !held || got < 30*time.Second || got > 31*time.Second {
			t.Errorf("held for %v: %v, want 30s", got, held)
		}
		if n := testutil.CollectAndCount(reg, "capstan_starts_remaining"); n != 1 {
			t.Errorf("got %d series of capstan_starts_remaining, want 1", n)
		}
		wantPaused(t, a, "")
		began := time.Now()
		(<-in).release(nil)
		if got := time.Since(began); got < 30*time.Second || got > 31*time.Second {
			t.Errorf("waited %v, want 30s", got)
		}
		if _, held := a.Held(); held {
			t.Error("held though nothing waits")
		}
	})
}

// Whatever is under way counts as accepted, until its answer tells otherwise.
func TestStartsUnderWayCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		tell(t, a, 2, 30*time.Second)
		first, second := acquire(t, a), acquire(t, a)
		wantFree(t, a, 0)
		in := queue(t.Context(), a, 1)
		<-time.After(time.Second)
		if len(in) > 0 {
			t.Fatal("a third left though two remained")
		}
		first(task.ErrNotSubmitted)
		synctest.Wait()
		if len(in) == 0 {
			t.Error("the third waits though the first was not submitted")
		}
		second(nil)
	})
}

// Whoever waits for a start that another submission may have used up is held, too.
func TestHeldWhileTheLastStartsAreUnderWay(t *testing.T) {
	for name, shared := range map[string]task.Shared{"alone": nil, "with a store": &store{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(4, rate.Inf)
				a.Join(t.Context(), admission.Fleet{Store: shared})
				tell(t, a, 1, 30*time.Second)
				release := acquire(t, a)
				in := queue(t.Context(), a, 1)
				<-time.After(time.Second)
				if until, held := a.Held(); !held || time.Until(until).Round(time.Second) != 29*time.Second {
					t.Errorf("held %v for %v, want 29s", held, time.Until(until))
				}
				release(task.ErrNotSubmitted)
				(<-in).release(nil)
				if _, held := a.Held(); held {
					t.Error("held though nothing waits")
				}
			})
		})
	}
}

// A 429 for a full plan takes no start, and one for the rate is no sign of a full plan.
func TestRefusalsForTheRateAreNotThePlans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		submit(t, a, "", &task.SubmitError{Kind: task.NotNow, Reason: task.RateLimited, HTTPStatus: 429, StartRate: true})
		if got := a.PlanRefusals(); got != 0 {
			t.Errorf("got %d refusals for the plan, want 0", got)
		}
		submit(t, a, "", notNow(0))
		if got := a.PlanRefusals(); got != 1 {
			t.Errorf("got %d refusals for the plan, want 1", got)
		}
	})
}

func TestAfterTheWindowItsQuotaRemains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(8, rate.Inf)
		tell(t, a, 0, 30*time.Second)
		<-time.After(time.Hour)
		wantFree(t, a, 5)
		for range 5 {
			acquire(t, a)
		}
		wantFree(t, a, 0)
		a.NoteStarts(task.Starts{Sent: time.Now(), Remaining: 4, Reset: 20 * time.Second, Quota: 20, Window: time.Minute})
		wantFree(t, a, 0) // four of the five may not have been counted yet
	})
}

func TestWithoutAQuotaNothingIsAssumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(8, rate.Inf)
		release := acquire(t, a)
		a.NoteStarts(task.Starts{Sent: time.Now(), Remaining: 0, Reset: 30 * time.Second})
		release(nil)
		wantWaited(t, a, 30*time.Second, 31*time.Second)
		for range 8 {
			wantWaited(t, a, 0, 0)
		}
	})
}

// Without a policy, nobody knows whether starts return only at the end.
func TestAWindowOfUnknownLengthHoldsForAMinute(t *testing.T) {
	for name, shared := range map[string]task.Shared{"alone": nil, "with a store": &store{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(8, rate.Inf)
				a.Join(t.Context(), admission.Fleet{Store: shared})
				release := acquire(t, a)
				a.NoteStarts(task.Starts{Sent: time.Now(), Remaining: 0, Reset: time.Hour})
				release(nil)
				wantWaited(t, a, time.Minute, 61*time.Second)
			})
		})
	}
}

// An API that accepts more than the quota, and tells nothing, has none.
func TestHeadersThatStopAreForgotten(t *testing.T) {
	for name, shared := range map[string]task.Shared{"alone": nil, "with a store": &store{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(8, rate.Inf)
				a.Join(t.Context(), admission.Fleet{Store: shared})
				tell(t, a, 0, 30*time.Second)
				began := time.Now()
				for range 100 {
					wantWaited(t, a, 0, 31*time.Second)
				}
				if got := time.Since(began); got > 31*time.Second {
					t.Errorf("took %v, want the 30s of the window that was told", got)
				}
				if _, told := a.Starts(); told {
					t.Error("still believes that the API tells")
				}
			})
		})
	}
}

// The one more that leaves in doubt is refused.
func TestHeadersOnRefusalsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &account{quota: 25, window: time.Minute, latency: 500 * time.Millisecond, silent: func(_ int, accepted bool) bool { return accepted }}
		fleet := newFleet(t, api, 10, &store{})
		runAll(t, fleet, 200, false) // they learn
		<-time.After(2 * time.Minute)
		refused, took := runAll(t, fleet, 500, false)
		if refused > 0.05 || took > 1.05 {
			t.Errorf("got %.4f refusals a task in %.3f of the least time, want one a window in 1.05", refused, took)
		}
	})
}

// An end in the far future holds submissions back only until another answer tells that more may leave.
func TestAnAnswerThatAllowsMoreEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(8, rate.Inf)
		defer acquire(t, a)(nil) // its answer comes before it is released
		tell(t, a, 0, time.Hour)
		in := queue(t.Context(), a, 1)
		<-time.After(time.Minute)
		if len(in) > 0 {
			t.Fatal("left though none remained")
		}
		a.NoteStarts(task.Starts{Sent: time.Now(), Remaining: 3, Reset: 50 * time.Second, Quota: 5, Window: time.Minute})
		synctest.Wait()
		if len(in) == 0 {
			t.Error("waits though three remain")
		}
	})
}

func TestTheEndOfTheContextEndsTheWait(t *testing.T) {
	for name, shared := range map[string]task.Shared{"alone": nil, "with a store": &store{}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(1, rate.Inf)
				a.Join(t.Context(), admission.Fleet{Store: shared})
				tell(t, a, 0, time.Minute)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				began := time.Now()
				_, err := a.Acquire(ctx, "", nil)
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
					t.Errorf("got %v after %v, want the deadline's error after 10s", err, took)
				}
				wantWaited(t, a, 49*time.Second, 51*time.Second)
			})
		})
	}
}

// An API that tells nothing: no submission waits, and the store is read once.
func TestWithoutHeadersNothingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := &store{}
		a := newAdmission(16, rate.Inf)
		a.Join(t.Context(), admission.Fleet{Store: shared, Workers: 10})
		began := time.Now()
		for range 1000 {
			submit(t, a, "", nil)
		}
		if took := time.Since(began); took != 0 || shared.calls != 1 {
			t.Errorf("got %v for 1,000 submissions and %d calls of the store, want 0 and 1", took, shared.calls)
		}
		if _, told := a.Starts(); told || shared.value != nil {
			t.Errorf("told %v, store %q, want nothing", told, shared.value)
		}
	})
}
