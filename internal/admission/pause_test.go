package admission_test

import (
	"bytes"
	"context"
	"strconv"
	"strings"
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

func TestPausesGrowAndStartOverAfterAnAcceptedSubmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		release := acquire(t, a)
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			release(notNow(0))
			var waited time.Duration
			release, waited = probe(t, a)
			wantAbout(t, waited, time.Duration(seconds)*time.Second)
		}
		release(nil)
		acquire(t, a)(notNow(0))
		_, waited := probe(t, a)
		wantAbout(t, waited, time.Second)
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		acquire(t, a)(notNow(7 * time.Minute))
		if _, waited := probe(t, a); waited != 7*time.Minute {
			t.Errorf("got a pause of %v, want 7m", waited)
		}
	})
}

func TestOneProbeAtATimeUntilTheAPIAnswers(t *testing.T) {
	tests := map[string]struct {
		came  error
		opens bool
	}{
		"accepted": {nil, true},
		"refused":  {&task.SubmitError{Kind: task.Refused}, true},
		"unknown":  {&task.SubmitError{Kind: task.Unknown}, false},
		"unused":   {task.ErrNotSubmitted, false},
		"not now":  {notNow(time.Second), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(4, rate.Inf)
				acquire(t, a)(notNow(time.Second))
				in := queue(t.Context(), a, 3)
				<-time.After(time.Minute)
				synctest.Wait()
				if got := len(in); got != 1 {
					t.Fatalf("got %d admitted after the pause, want 1", got)
				}
				first := <-in
				first.release(tt.came)
				<-time.After(time.Minute)
				synctest.Wait()
				want := 1
				if tt.opens {
					want = 2
				}
				if got := len(in); got != want {
					t.Errorf("got %d admitted after the probe, want %d", got, want)
				}
				for range 2 {
					next := <-in
					next.release(nil)
				}
			})
		})
	}
}

func TestProbeIsTheNextInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		met := acquire(t, a)
		met(notNow(time.Second))
		in := queue(t.Context(), a, 2) // the second is the task that met the pause
		first := <-in
		if first.number != 0 {
			t.Errorf("got number %d as the probe, want 0", first.number)
		}
		first.release(nil)
		<-in
	})
}

func TestSubmissionsUnderWayWhenThePauseBeganDoNotMakeItGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(16, rate.Inf)
		var releases []func(error)
		for range 16 {
			releases = append(releases, acquire(t, a))
		}
		for _, release := range releases[:8] {
			release(notNow(0))
		}
		release, waited := probe(t, a)
		wantAbout(t, waited, time.Second)
		releases[8](notNow(0))
		releases[9](nil) // stale as well: the next pause is longer nevertheless
		release(notNow(0))
		release, waited = probe(t, a)
		wantAbout(t, waited, 2*time.Second)
		release(nil)
		releases[10](notNow(0))
		if _, _, paused := a.Paused(); paused {
			t.Error("an old NotNow began a pause")
		}
	})
}

func TestPauseLastsUntilTheLatestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		first, second := acquire(t, a), acquire(t, a)
		first(notNow(10 * time.Second))
		second(notNow(30 * time.Second))
		if _, waited := probe(t, a); waited != 30*time.Second {
			t.Errorf("got a pause of %v, want 30s", waited)
		}
	})
}

func TestRetryAfterIsForgottenWhenThePauseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		first, second := acquire(t, a), acquire(t, a)
		first(notNow(time.Second))
		release := acquire(t, a)
		second(notNow(time.Hour))
		release(nil)
		acquire(t, a)(notNow(time.Second))
		if _, waited := probe(t, a); waited != time.Second {
			t.Errorf("got a pause of %v, want 1s", waited)
		}
	})
}

func TestPauseHoldsASubmissionThatWaitsForItsToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Every(10*time.Second))
		release := acquire(t, a)
		start := time.Now()
		in := queue(t.Context(), a, 1)
		release(notNow(time.Minute))
		<-in
		if got := time.Since(start); got < time.Minute {
			t.Errorf("left %v after the pause began, want 1m or later", got)
		}
	})
}

func TestAfterACanceledProbeTheNextIsTheProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Every(10*time.Second))
		acquire(t, a)(notNow(time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := a.Acquire(ctx, "", nil); err == nil {
			t.Fatal("acquired, want it to be waiting for its token")
		}
		acquire(t, a)(task.ErrNotSubmitted)
		acquire(t, a)
	})
}

func TestEachPauseIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		var out bytes.Buffer
		a := admission.New(admission.Config{Concurrency: 4}, rate.NewLimiter(rate.Inf, 1), reg, zerolog.New(&out))
		first, second := acquire(t, a), acquire(t, a)
		first(notNow(time.Minute))
		second(notNow(time.Minute))
		acquire(t, a)(&task.SubmitError{Kind: task.NotNow, Reason: task.Unauthorized, Message: "secret"})
		reason, until, paused := a.Paused()
		if !paused || reason != task.Unauthorized || !until.After(time.Now()) {
			t.Errorf("got %v %v %v, want a pause: unauthorized", reason, until, paused)
		}
		wantMetrics(t, reg, `capstan_submissions_paused{reason="unauthorized"} 1`, 0)
		release := acquire(t, a)
		wantMetrics(t, reg, `capstan_submissions_paused{reason="unauthorized"} 1`, 1)
		release(nil)
		wantMetrics(t, reg, `capstan_submissions_paused{reason="unauthorized"} 0`, 0)

		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		wants := []string{
			`{"level":"warn","reason":"rate_limited"`, `{"level":"error","reason":"unauthorized"`, `{"level":"info"`,
		}
		if len(lines) != len(wants) {
			t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(wants), out.String())
		}
		for i, want := range wants {
			if !strings.HasPrefix(lines[i], want) || strings.Contains(lines[i], "secret") {
				t.Errorf("got line %s, want %s…", lines[i], want)
			}
		}
	})
}

// wantMetrics checks everything but the line given, which differs.
func wantMetrics(t *testing.T, reg prometheus.Gatherer, unauthorized string, inUse int) {
	t.Helper()
	want := `
# HELP capstan_pauses_total Pauses of submissions, by reason.
# TYPE capstan_pauses_total counter
capstan_pauses_total{reason="failing"} 0
capstan_pauses_total{reason="forbidden"} 0
capstan_pauses_total{reason="no_credits"} 0
capstan_pauses_total{reason="not_the_api"} 0
capstan_pauses_total{reason="proxy_login"} 0
capstan_pauses_total{reason="rate_limited"} 1
capstan_pauses_total{reason="refusing"} 0
capstan_pauses_total{reason="unauthorized"} 1
capstan_pauses_total{reason="unavailable"} 0
capstan_pauses_total{reason="unreachable"} 0
capstan_pauses_total{reason="unready"} 0
# HELP capstan_submissions_paused 1 while submissions are paused for this reason.
# TYPE capstan_submissions_paused gauge
capstan_submissions_paused{reason="failing"} 0
capstan_submissions_paused{reason="forbidden"} 0
capstan_submissions_paused{reason="no_credits"} 0
capstan_submissions_paused{reason="not_the_api"} 0
capstan_submissions_paused{reason="proxy_login"} 0
capstan_submissions_paused{reason="rate_limited"} 0
capstan_submissions_paused{reason="refusing"} 0
` + unauthorized + `
capstan_submissions_paused{reason="unavailable"} 0
capstan_submissions_paused{reason="unreachable"} 0
capstan_submissions_paused{reason="unready"} 0
# HELP capstan_submit_slots_in_use Submissions in progress.
# TYPE capstan_submit_slots_in_use gauge
capstan_submit_slots_in_use ` + strconv.Itoa(inUse) + "\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "capstan_pauses_total", "capstan_submissions_paused", "capstan_submit_slots_in_use"); err != nil {
		t.Error(err)
	}
}

func TestUnknownOutcomesInARowPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unknown := &task.SubmitError{Kind: task.Unknown}
		a := newAdmission(4, rate.Inf)
		for range 3 { // an accepted one in between starts the count over
			for range 4 {
				acquire(t, a)(unknown)
			}
			acquire(t, a)(nil)
		}
		if _, _, paused := a.Paused(); paused {
			t.Fatal("paused though submissions were accepted in between")
		}
		for range 5 {
			acquire(t, a)(unknown)
		}
		if reason, _, paused := a.Paused(); !paused || reason != task.Failing {
			t.Fatalf("got paused %v, %q, want %q", paused, reason, task.Failing)
		}
		release, waited := probe(t, a)
		wantAbout(t, waited, time.Second)
		release(unknown) // one is enough from here on
		_, waited = probe(t, a)
		wantAbout(t, waited, 2*time.Second)
	})
}

func TestAPauseWhoseTimeIsOverIsNoneForAnIdleWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		acquire(t, a)(notNow(time.Minute))
		<-time.After(time.Minute + time.Second)
		if reason, until, paused := a.Paused(); paused {
			t.Errorf("got paused until %v for %q, want a worker that may probe", until, reason)
		}
	})
}
