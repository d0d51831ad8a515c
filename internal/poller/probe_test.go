package poller_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

// One answer must not stop all polls for an hour.
func TestPausedPollsProbeOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		hour := refusal(429, time.Hour)
		p := newPoller(noted(&calls, script(slices.Repeat([]error{hour}, 5)...)), rate.Inf)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() { wait(t, p, fresh(20*time.Minute)) })
			if i == 0 { // the others follow when the breaker is open
				<-time.After(3 * time.Second)
			}
		}
		wg.Wait()
		for i := range 5 {
			if got := calls[i+1].Sub(calls[i]); got != time.Minute {
				t.Errorf("got probe %d after %v, want one a minute", i+1, got)
			}
		}
	})
}

// A probe without an answer does not keep another poll from being the next probe.
func TestAfterAProbeWithoutAnAnswerTheNextPollIsTheProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls []time.Time
		p := newPoller(noted(&calls, script(refusal(429, 20*time.Second), status(502), &task.StatusError{}, nil)), rate.Inf)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { wait(t, p, fresh(time.Minute)) })
			if i == 0 { // the others follow when the breaker is open
				<-time.After(3 * time.Second)
			}
		}
		wg.Wait()
		if got := calls[3].Sub(calls[1]); got != 0 {
			t.Errorf("got the third probe %v after the first, want it at once", got)
		}
	})
}

func TestChangedKeyEndsAPauseForTheKeyAtOnce(t *testing.T) {
	t.Parallel()
	for code, ends := range map[int]bool{401: true, 402: true, 403: true, 429: false, 503: false} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int32
			p := newPoller(func(ctx context.Context, id string) (task.Workflow, error) {
				if calls.Add(1) == 1 {
					return task.Workflow{}, refusal(code, 50*time.Second)
				}
				return running(ctx, id)
			}, rate.Inf)
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() { wait(t, p, fresh(80*time.Second)) })
			<-time.After(5 * time.Second)
			p.KeyChanged()
			synctest.Wait()
			if got := calls.Load() == 2; got != ends {
				t.Errorf("%d: got %d calls after the key has changed, want the pause to end: %v", code, calls.Load(), ends)
			}
		})
	}
}

func TestAPauseIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		var out bytes.Buffer
		secretive := refusal(401, time.Minute)
		secretive.Message = "secret"
		answers := script(status(401), secretive, nil)
		p := poller.New(poller.Config{Interval: interval, MaxInterval: maxInterval}, answers, plenty(),
			rate.NewLimiter(rate.Inf, 1), reg, zerolog.New(&out))
		go wait(t, p, fresh(2*time.Minute))
		<-time.After(30 * time.Second)
		synctest.Wait()
		wantMetrics(t, reg, 1, 1)
		<-time.After(60 * time.Second)
		synctest.Wait()
		wantMetrics(t, reg, 0, 1)
		<-time.After(60 * time.Second)
		synctest.Wait()
		wantMetrics(t, reg, 0, 0)

		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, `{"level":"debug"`) })
		if len(lines) != 2 || !strings.Contains(lines[0], `"warn"`) || !strings.Contains(lines[1], `"info"`) {
			t.Errorf("got lines\n%s\nwant one that polls are paused and one that they resumed", strings.Join(lines, "\n"))
		}
		if strings.Contains(out.String(), "secret") {
			t.Errorf("the API's message was logged:\n%s", out.String())
		}
	})
}

func wantMetrics(t *testing.T, reg prometheus.Gatherer, paused, waiting int) {
	t.Helper()
	want := fmt.Sprintf(`
# HELP capstan_polls_paused 1 while polls are paused, because the API asked for it or rejects the key.
# TYPE capstan_polls_paused gauge
capstan_polls_paused %d
# HELP capstan_polls_in_flight Polls in progress.
# TYPE capstan_polls_in_flight gauge
capstan_polls_in_flight 0
# HELP capstan_workflows_waiting Workflows that this worker waits for.
# TYPE capstan_workflows_waiting gauge
capstan_workflows_waiting %d
`, paused, waiting)
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "capstan_polls_paused", "capstan_polls_in_flight", "capstan_workflows_waiting"); err != nil {
		t.Error(err)
	}
}
