package admission_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestForbiddenSessionConcernsItsTaskOnly(t *testing.T) {
	tests := map[string]struct {
		sessions []string // that meet a 403, one after the other; "-" is an accepted submission
		want     task.Reason
	}{
		"one session, again and again": {[]string{"a", "a", "a", "a", "a"}, ""},
		"two sessions":                 {[]string{"a", "b", "a", "b", "a"}, ""},
		"a success between":            {[]string{"a", "b", "-", "c", "d"}, ""},
		"three sessions":               {[]string{"a", "b", "a", "c"}, task.Forbidden},
		"no session":                   {[]string{""}, task.Forbidden},
		"no session after another":     {[]string{"a", ""}, task.Forbidden},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(4, rate.Inf)
				for _, session := range tt.sessions {
					if session == "-" {
						submit(t, a, "", nil)
					} else {
						submit(t, a, session, forbidden())
					}
				}
				wantPaused(t, a, tt.want)
			})
		})
	}
}

// Forty honest tasks share the worker with twenty whose sessions belong to another account, or have expired. Each of those
// comes back when it met a 403, until it met three with a submission accepted in between.
func TestForeignSessionsDoNotStopOtherTasks(t *testing.T) {
	const honest, foreign = 40, 20
	tests := map[string]struct {
		answer      error
		tries       int
		concurrency int
	}{
		"403, one POST at once":        {forbidden(), 3, 1},
		"403, sixteen POSTs at once":   {forbidden(), 3, 16},
		"404, one POST at once":        {refused(404), 1, 1},
		"400, sixteen POSTs at once":   {refused(400), 1, 16},
		"422, one POST at once":        {refused(422), 1, 1},
		"409, sixteen POSTs at once":   {refused(409), 1, 16},
		"redirect, one POST at once":   {refused(302), 1, 1},
		"another 4xx, four at a time":  {refused(410), 1, 4},
		"403, four POSTs at a time":    {forbidden(), 3, 4},
		"404, sixteen POSTs at a time": {refused(404), 1, 16},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(tt.concurrency, rate.Inf)
				start := time.Now()
				var all, honestOnes sync.WaitGroup
				for i := range foreign { // they are in line before the honest ones
					all.Go(func() {
						for range tt.tries {
							release, err := a.Acquire(t.Context(), fmt.Sprint("s", i), nil)
							if err != nil {
								t.Error(err)
								return
							}
							<-time.After(50 * time.Millisecond)
							release(tt.answer)
						}
					})
				}
				synctest.Wait()
				for range honest {
					honestOnes.Go(func() { post(t, a, "", nil) })
				}
				honestOnes.Wait()
				if got := time.Since(start); got > 5*time.Second {
					t.Errorf("the honest tasks were submitted after %v, want it within 5s", got)
				}
				all.Wait()
				if got := time.Since(start); got > 5*time.Minute {
					t.Errorf("the others were through after %v, want it within 5m: one each 5s", got)
				}
			})
		})
	}
}

func TestRequestsWithASessionArePausedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		for i := range 3 {
			submit(t, a, fmt.Sprint("s", i), forbidden())
		}
		start := time.Now()
		var through atomic.Int32
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				release, err := a.Acquire(t.Context(), fmt.Sprint("s", i), nil)
				if err != nil {
					t.Error(err)
					return
				}
				through.Add(1)
				<-time.After(time.Minute)
				release(nil)
			})
		}
		synctest.Wait()
		if got := through.Load(); got != 0 {
			t.Errorf("got %d with a session admitted in the pause, want 0", got)
		}
		<-time.After(10 * time.Second)
		if got := through.Load(); got != 1 {
			t.Errorf("got %d with a session admitted after the pause, want 1 as the probe", got)
		}
		submit(t, a, "", nil)
		if got := time.Since(start); got != 10*time.Second {
			t.Errorf("one without a session waited %v, want it to leave at once", got-10*time.Second)
		}
		synctest.Wait()
		if got := through.Load(); got != 4 {
			t.Errorf("got %d with a session under way after a success, want 4, as many as slots", got)
		}
		all.Wait()
		wantPaused(t, a, "")
	})
}

// The first in line must not wait behind a pause that concerns only others.
func TestPauseForSessionsTakesThemOutOfTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, rate.Inf)
		submit(t, a, "a", forbidden())
		submit(t, a, "b", forbidden())
		third, err := a.Acquire(t.Context(), "c", nil)
		if err != nil {
			t.Fatal(err)
		}
		var withSession, all sync.WaitGroup
		withSession.Go(func() { post(t, a, "d", nil) }) // it is in line already
		synctest.Wait()
		var waited time.Duration
		all.Go(func() {
			start := time.Now()
			release, err := a.Acquire(t.Context(), "", nil)
			if err != nil {
				t.Error(err)
				return
			}
			waited = time.Since(start)
			<-time.After(100 * time.Millisecond)
			release(unknown())
		})
		synctest.Wait()
		third(forbidden())
		all.Wait()
		if waited != 0 {
			t.Errorf("waited %v behind a request with a session, want 0", waited)
		}
		withSession.Wait()
	})
}

func TestLongRetryAfterOfASessionStopsNoOtherForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		for i := range 3 {
			submit(t, a, fmt.Sprint("s", i), &task.SubmitError{Kind: task.NotNow, Reason: task.Forbidden, HTTPStatus: 403, RetryAfter: time.Hour})
		}
		start := time.Now()
		submit(t, a, "mine", nil)
		if got := time.Since(start); got > 5*time.Second {
			t.Errorf("waited %v, want 5s at most", got)
		}
	})
}

// A pause wastes one token at most, however many of the paused requests are in line.
func TestPausedSessionsTakeNoTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const every = 10 * time.Second
		a := newAdmission(2, rate.Every(every))
		submit(t, a, "a", forbidden())
		submit(t, a, "b", forbidden())
		third, err := a.Acquire(t.Context(), "c", nil)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() { post(t, a, fmt.Sprint("in line ", i), nil) })
			synctest.Wait()
		}
		start := time.Now()
		third(forbidden())
		all.Go(func() {
			release, err := a.Acquire(t.Context(), "", nil)
			if err != nil {
				t.Error(err)
				return
			}
			if got := time.Since(start); got > 2*every {
				t.Errorf("waited %v for a token, want %v at most", got, 2*every)
			}
			release(nil)
		})
		all.Wait()
	})
}

// A 403 for a session says nothing about the pause of all submissions: the next one is the probe.
func TestAfterAForbiddenSessionAsTheProbeTheNextIsTheProbe(t *testing.T) {
	for _, outcome := range []error{forbidden(), unknown(), task.ErrNotSubmitted} {
		synctest.Test(t, func(t *testing.T) {
			a := newAdmission(4, rate.Inf)
			submit(t, a, "", notNow(time.Second))
			submit(t, a, "foreign", outcome)
			start := time.Now()
			submit(t, a, "", nil)
			if got := time.Since(start); got != 0 {
				t.Errorf("after %v the next probe waited %v, want 0", outcome, got)
			}
			wantPaused(t, a, "")
		})
	}
}

// Another key may own the sessions.
func TestChangedKeyStartsTheCountOfSessionsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		submit(t, a, "a", forbidden())
		submit(t, a, "b", forbidden())
		a.KeyChanged()
		submit(t, a, "c", forbidden())
		wantPaused(t, a, "")
	})
}
