package admission_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestRefusalsOfOneKindInARowPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		for range 3 { // an accepted one in between starts the count over
			for range 4 {
				submit(t, a, "", refused(404))
			}
			submit(t, a, "", nil)
		}
		for status := range 10 { // each of its own kind
			submit(t, a, "", refused(410+status))
		}
		wantPaused(t, a, "")
		for range 5 {
			submit(t, a, "", refused(404))
		}
		wantPaused(t, a, task.Refusing)
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			release, waited := probe(t, a)
			wantAbout(t, waited, time.Duration(seconds)*time.Second)
			release(refused(404)) // one is enough from here on
		}
		release, _ := probe(t, a)
		release(nil)
		wantPaused(t, a, "")
	})
}

// Failures of two kinds that take turns are no success.
func TestKindsThatTakeTurnsPauseToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		for range 4 {
			submit(t, a, "", refused(404))
			submit(t, a, "", unknown())
		}
		wantPaused(t, a, "")
		submit(t, a, "", refused(404))
		wantPaused(t, a, task.Refusing)
	})
}

// A probe that is refused in another way shows that the API judges tasks again.
func TestProbeThatIsRefusedOtherwiseEndsThePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		for range 5 {
			submit(t, a, "", refused(404))
		}
		submit(t, a, "", refused(422))
		wantPaused(t, a, "")
	})
}

// Whatever takes the API's place for a while, a queue of 2,000 tasks costs it few.
func TestBrokenAPICostsFewTasks(t *testing.T) {
	const tasks = 2000
	tests := map[string]struct {
		outcome error
		broken  time.Duration
		most    int64
	}{
		"404 for 3 s":    {refused(404), 3 * time.Second, 25},
		"404 for ever":   {refused(404), time.Hour, 100},
		"405 for ever":   {refused(405), time.Hour, 100},
		"301 for ever":   {refused(301), time.Hour, 100},
		"422 for 3 s":    {refused(422), 3 * time.Second, 25},
		"422 for 10 min": {refused(422), 10 * time.Minute, 180},
		"500 for ever":   {unknown(), time.Hour, 100},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(16, rate.Inf)
				start := time.Now()
				var lost atomic.Int64
				var all sync.WaitGroup
				for range tasks {
					all.Go(func() {
						release, err := a.Acquire(t.Context(), "", nil)
						if err != nil {
							t.Error(err)
							return
						}
						<-time.After(20 * time.Millisecond)
						if time.Since(start) < tt.broken {
							lost.Add(1)
							release(tt.outcome)
							return
						}
						release(nil)
					})
				}
				all.Wait()
				if got := lost.Load(); got < 5 || got > tt.most {
					t.Errorf("lost %d tasks, want 5 to %d", got, tt.most)
				}
				if got := time.Since(start) - tt.broken; got > 75*time.Second {
					t.Errorf("the last task was submitted %v after the API was well, want it within 75s", got)
				}
			})
		})
	}
}

// Requests that deserve to be refused are, if slowly, and each in its turn.
func TestQueueOfBadRequestsMoves(t *testing.T) {
	for _, status := range []int{400, 409, 413, 422} {
		synctest.Test(t, func(t *testing.T) {
			const tasks = 100
			a := newAdmission(1, rate.Inf)
			start := time.Now()
			for range tasks {
				submit(t, a, "", refused(status))
			}
			if got := time.Since(start); got > tasks*5*time.Second {
				t.Errorf("%d: got %d refusals in %v, want it within %v", status, tasks, got, tasks*5*time.Second)
			}
			submit(t, a, "", nil)
			wantPaused(t, a, "")
		})
	}
}

func TestGatewaysAndProxiesPause(t *testing.T) {
	for _, reason := range []task.Reason{task.NotTheAPI, task.ProxyLogin, task.Unavailable} {
		synctest.Test(t, func(t *testing.T) {
			a := newAdmission(4, rate.Inf)
			submit(t, a, "", &task.SubmitError{Kind: task.NotNow, Reason: reason, HTTPStatus: 404})
			wantPaused(t, a, reason)
			release, waited := probe(t, a)
			wantAbout(t, waited, time.Second)
			release(nil)
		})
	}
}

func TestChangedKeyEndsAPauseForTheKeyAtOnce(t *testing.T) {
	for reason, ends := range map[task.Reason]bool{
		task.Unauthorized: true, task.NoCredits: true, task.Forbidden: true,
		task.RateLimited: false, task.Unavailable: false, task.NotTheAPI: false,
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAdmission(4, rate.Inf)
			early := acquire(t, a)
			submit(t, a, "", &task.SubmitError{Kind: task.NotNow, Reason: reason, RetryAfter: time.Hour})
			in := queue(t.Context(), a, 2)
			a.KeyChanged()
			synctest.Wait()
			if got := len(in) == 1; got != ends {
				t.Errorf("%s: got %d admitted after the key has changed, want the pause to end with a probe: %v", reason, len(in), ends)
			}
			first := <-in
			early(&task.SubmitError{Kind: task.NotNow, Reason: reason}) // stale
			first.release(nil)
			wantPaused(t, a, "")
			second := <-in
			second.release(nil)
		})
	}
}

// Retry-After comes before the waits that grow, after every outcome.
func TestUnknownOutcomesObeyRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		for range 5 {
			submit(t, a, "", &task.SubmitError{Kind: task.Unknown, HTTPStatus: 500, RetryAfter: 2 * time.Minute})
		}
		if _, waited := probe(t, a); waited != 2*time.Minute {
			t.Errorf("got a pause of %v, want 2m", waited)
		}
	})
}
