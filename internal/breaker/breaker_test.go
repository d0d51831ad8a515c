package breaker_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/breaker"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// admit waits until a call may leave and returns its ticket, and how long that took.
func admit(t *testing.T, b *breaker.Breaker) (breaker.Ticket, time.Duration) {
	t.Helper()
	began := time.Now()
	if err := b.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	ticket, ok := b.Admit()
	if !ok {
		t.Fatal("got no ticket after the wait")
	}
	return ticket, time.Since(began)
}

func wantAbout(t *testing.T, got, want time.Duration) {
	t.Helper()
	if got < want*8/10 || got > want*12/10 {
		t.Errorf("got %v, want %v ± 20 %%", got, want)
	}
}

func wantAdmits(t *testing.T, b *breaker.Breaker, want bool) {
	t.Helper()
	ticket, got := b.Admit()
	if got != want {
		t.Errorf("a call may leave: %v, want %v", got, want)
	}
	b.Unused(ticket)
}

func TestOpenTimesGrowAndStartOverAfterASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(time.Hour)
		ticket, _ := admit(t, b)
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			b.Open(ticket, task.Unavailable, 0, 0)
			var waited time.Duration
			ticket, waited = admit(t, b)
			wantAbout(t, waited, time.Duration(seconds)*time.Second)
		}
		b.Answer(ticket) // closes it, and is no success
		ticket, _ = admit(t, b)
		b.Open(ticket, task.Unavailable, 0, 0)
		ticket, waited := admit(t, b)
		wantAbout(t, waited, time.Minute)
		b.Succeed(ticket)
		ticket, _ = admit(t, b)
		b.Open(ticket, task.Unavailable, 0, 0)
		_, waited = admit(t, b)
		wantAbout(t, waited, time.Second)
	})
}

func TestOpenTimeIsWhatTheAPIAskedForWithinBounds(t *testing.T) {
	tests := map[string]struct{ asked, most, want time.Duration }{
		"asked":           {7 * time.Minute, 0, 7 * time.Minute},
		"asked too much":  {24 * time.Hour, 0, time.Hour},
		"bounded by most": {7 * time.Minute, 5 * time.Second, 5 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := breaker.New(time.Hour)
				ticket, _ := admit(t, b)
				wait, opened := b.Open(ticket, task.RateLimited, tt.asked, tt.most)
				if wait != tt.want || !opened {
					t.Errorf("got %v, opened: %v, want %v", wait, opened, tt.want)
				}
				if _, got := admit(t, b); got != tt.want {
					t.Errorf("got a call after %v, want it after %v", got, tt.want)
				}
			})
		})
	}
}

func TestHalfOpenLetsOneProbeLeaveUntilItsAnswer(t *testing.T) {
	tests := map[string]struct {
		answer func(b *breaker.Breaker, probe breaker.Ticket)
		closed bool
	}{
		"success":   {func(b *breaker.Breaker, probe breaker.Ticket) { b.Succeed(probe) }, true},
		"answer":    {func(b *breaker.Breaker, probe breaker.Ticket) { b.Answer(probe) }, true},
		"elsewhere": {func(b *breaker.Breaker, _ breaker.Ticket) { b.Close() }, true},
		"unused":    {func(b *breaker.Breaker, probe breaker.Ticket) { b.Unused(probe) }, false},
		"again":     {func(b *breaker.Breaker, probe breaker.Ticket) { b.Open(probe, task.RateLimited, time.Second, 0) }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := breaker.New(time.Hour)
				ticket, _ := admit(t, b)
				b.Open(ticket, task.RateLimited, time.Second, 0)
				wantAdmits(t, b, false)
				<-time.After(time.Second)
				probe, ok := b.Admit()
				if !ok {
					t.Fatal("got no probe after the open time")
				}
				wantAdmits(t, b, false)
				var all sync.WaitGroup
				all.Go(func() { _, _ = admit(t, b) })
				<-time.After(time.Hour)
				tt.answer(b, probe)
				all.Wait()
				if got := b.Closed(); got != tt.closed {
					t.Errorf("closed: %v, want %v", got, tt.closed)
				}
			})
		})
	}
}

func TestStaleAnswersOnlyExtendTheOpenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(time.Hour)
		old, _ := admit(t, b)
		latest, _ := admit(t, b)
		b.Open(latest, task.RateLimited, 10*time.Second, 0)
		b.Succeed(old)
		b.Answer(old)
		b.Unused(old)
		b.Unused(breaker.Ticket{})
		if _, opened := b.Open(old, task.Unauthorized, 30*time.Second, 0); opened {
			t.Error("a stale answer opened the breaker")
		}
		if reason, _, _ := b.State(); reason != task.RateLimited {
			t.Errorf("got reason %q, want that of the opening", reason)
		}
		probe, waited := admit(t, b)
		if waited != 30*time.Second {
			t.Errorf("got a probe after %v, want 30s", waited)
		}
		b.Succeed(probe)
		b.Open(old, task.RateLimited, time.Hour, 0)
		ticket, _ := admit(t, b)
		b.Open(ticket, task.RateLimited, time.Second, 0)
		if _, waited := admit(t, b); waited != time.Second {
			t.Errorf("got the next probe after %v, want 1s: the stale answer is forgotten", waited)
		}
	})
}

// However often answers to old calls ask for more, the probe leaves within the longest open time.
func TestStaleAnswersExtendNoFurtherThanTheLongestOpenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(time.Minute)
		ticket, _ := admit(t, b)
		b.Open(ticket, task.RateLimited, time.Second, 0)
		for range 50 {
			b.Open(breaker.Ticket{}, task.RateLimited, time.Hour, 0)
			<-time.After(time.Second)
		}
		if _, waited := admit(t, b); waited != 10*time.Second {
			t.Errorf("got a probe after %v more, want 10s", waited)
		}
	})
}

func TestRetryEndsTheOpenTimeForItsReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(time.Hour)
		early, _ := admit(t, b)
		ticket, _ := admit(t, b)
		b.Open(ticket, task.Unauthorized, time.Hour, 0)
		if b.Retry(task.NoCredits) {
			t.Error("another reason ended the open time")
		}
		wantAdmits(t, b, false)
		var all sync.WaitGroup
		all.Go(func() {
			if _, waited := admit(t, b); waited != 0 {
				t.Errorf("got a probe after %v, want it at once", waited)
			}
		})
		synctest.Wait()
		if !b.Retry(task.NoCredits, task.Unauthorized) {
			t.Error("got no retry for its reason")
		}
		all.Wait()
		b.Open(early, task.Unauthorized, 0, 0) // with the old key
		b.Open(ticket, task.Unauthorized, 0, 0)
		if reason, _, _ := b.State(); reason != task.Unauthorized || b.Closed() {
			t.Error("want the probe still under way")
		}
	})
}

// Answers to calls that left before the change are about the time before it.
func TestRetryMakesAnswersToEarlierCallsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(time.Hour)
		ticket, _ := admit(t, b)
		b.Retry(task.Unauthorized)
		b.Open(ticket, task.Unauthorized, 0, 0)
		wantAdmits(t, b, true)
	})
}

func TestContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(time.Hour)
		ticket, _ := admit(t, b)
		b.Open(ticket, task.RateLimited, time.Minute, 0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
	})
}

func TestWhichAnswersToSubmissionsOpenTheBreaker(t *testing.T) {
	notNow := func(reason task.Reason) *task.SubmitError {
		return &task.SubmitError{Kind: task.NotNow, Reason: reason}
	}
	tests := map[string]struct {
		failure *task.SubmitError
		session bool
		want    task.Reason
	}{
		"accepted":          {nil, false, ""},
		"refused":           {&task.SubmitError{Kind: task.Refused, HTTPStatus: 400}, false, ""},
		"unknown":           {&task.SubmitError{Kind: task.Unknown, HTTPStatus: 500}, false, ""},
		"403":               {notNow(task.Forbidden), false, task.Forbidden},
		"403 and a session": {notNow(task.Forbidden), true, ""},
		"401 and a session": {notNow(task.Unauthorized), true, task.Unauthorized},
		"without a reason":  {notNow(""), false, task.Unavailable},
	}
	for _, reason := range []task.Reason{
		task.RateLimited, task.NoCredits, task.Unavailable, task.Unready, task.Unreachable, task.ProxyLogin, task.NotTheAPI,
	} {
		tests[string(reason)] = struct {
			failure *task.SubmitError
			session bool
			want    task.Reason
		}{notNow(reason), true, reason}
	}
	for name, tt := range tests {
		if got := breaker.OfSubmission(tt.failure, tt.session); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func TestWhichAnswersToPollsOpenTheBreaker(t *testing.T) {
	concerns := map[task.Reason]bool{
		task.RateLimited: true, task.Unauthorized: true, task.NoCredits: true, task.Forbidden: true, task.ProxyLogin: true,
		task.Unavailable: true, task.Unready: false, task.NotTheAPI: false,
	}
	for reason, opens := range concerns {
		got := breaker.OfPoll(&task.StatusError{HTTPStatus: http.StatusTeapot, Reason: reason})
		if opens && got != reason || !opens && got != "" {
			t.Errorf("got %q for %q, want it to open the breaker: %v", got, reason, opens)
		}
	}
	if got := breaker.OfPoll(&task.StatusError{HTTPStatus: http.StatusBadGateway, RetryAfter: time.Second}); got != "" {
		t.Errorf("got %q for an answer without a reason, want none", got)
	}
}
