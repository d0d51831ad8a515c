package poller_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

// during answers so until that much time has passed, and then that the workflow is completed.
func during(failing time.Duration, failure func(since time.Duration) error) api {
	start := time.Now()
	return func(context.Context, string) (task.Workflow, error) {
		if since := time.Since(start); since < failing {
			if err := failure(since); err != nil {
				return task.Workflow{}, err
			}
			return task.Workflow{Status: "RUNNING"}, nil
		}
		return task.Workflow{Status: "COMPLETED", Result: []byte(`"still there"`)}, nil
	}
}

func always(err error) func(time.Duration) error { return func(time.Duration) error { return err } }

func TestAWorkflowIsLostWhenTheAPISaysSoForAMinute(t *testing.T) {
	t.Parallel()
	gone := unknown(404)
	alternating := func(err error) func(time.Duration) error {
		n := 0
		return func(time.Duration) error {
			n++
			if n%2 == 0 {
				return err
			}
			return gone
		}
	}
	tests := map[string]struct {
		failing time.Duration
		failure func(since time.Duration) error
		lost    bool
	}{
		"404 for long":            {time.Hour, always(gone), true},
		"400 for long":            {time.Hour, always(unknown(400)), true},
		"404 for 55 s":            {55 * time.Second, always(gone), false},
		"403 in the API's form":   {time.Hour, always(&task.StatusError{HTTPStatus: 410, OwnForm: true}), false},
		"a page for 12 s":         {12 * time.Second, always(page(404)), false},
		"a page for long":         {time.Hour, always(page(404)), false},
		"a page of 400 for long":  {time.Hour, always(page(400)), false},
		"other failures between":  {time.Hour, alternating(status(502)), true},
		"pages between":           {time.Hour, alternating(page(404)), true},
		"no answers between":      {time.Hour, alternating(&task.StatusError{}), true},
		"answers between":         {time.Hour, alternating(nil), false},
		"other failures for long": {time.Hour, always(status(500)), false},
		"an answer after 50 s": {100 * time.Second, func(since time.Duration) error {
			if since > 45*time.Second && since < 60*time.Second {
				return nil
			}
			return gone
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				outcome := wait(t, newPoller(during(tt.failing, tt.failure), rate.Inf), fresh(30*time.Minute))
				if outcome.Lost != tt.lost {
					t.Errorf("got %+v, want lost: %v", outcome, tt.lost)
				}
				if tt.lost {
					wantBetween(t, "time until it was lost", time.Since(start), 62*time.Second, 62*time.Second+2*maxInterval)
				}
			})
		})
	}
}

// However long the interval, one or two answers are not enough.
func TestAWorkflowIsLostAfterFiveAnswersAtLeast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := poller.New(poller.Config{Interval: time.Hour, MaxInterval: time.Hour}, script(slices.Repeat([]error{unknown(404)}, 100)...),
			plenty(), rate.NewLimiter(rate.Inf, 1), prometheus.NewRegistry(), zerolog.Nop())
		if outcome := wait(t, p, fresh(100*time.Hour)); !outcome.Lost || outcome.Polls != 5 {
			t.Errorf("got %+v, want it lost after 5 polls", outcome)
		}
	})
}

// The API may need a while until it knows what it has accepted.
func TestAWorkflowThatIsNotKnownYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := poller.New(poller.Config{Interval: 500 * time.Millisecond, MaxInterval: time.Second}, during(3*time.Second, always(unknown(404))),
			plenty(), rate.NewLimiter(rate.Inf, 1), prometheus.NewRegistry(), zerolog.Nop())
		if outcome := wait(t, p, fresh(time.Hour)); outcome.Status != "COMPLETED" {
			t.Errorf("got %+v, want it completed", outcome)
		}
	})
}

func TestATimeOutSaysWhatTheLastAnswersWere(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answers api
		want    string // the beginning
	}{
		"running":      {running, ""},
		"unreadable":   {script(slices.Repeat([]error{&task.StatusError{HTTPStatus: 200, Message: "read answer: invalid character 'N'"}}, 100)...), "the answer could not be read: 200: read answer"},
		"a page":       {script(slices.Repeat([]error{page(404)}, 100)...), "404: default backend - 404"},
		"no words":     {script(slices.Repeat([]error{status(502)}, 100)...), "502 Bad Gateway"},
		"a code alone": {script(slices.Repeat([]error{status(520)}, 100)...), "520"},
		"hanging":      {hanging, "no answer: context deadline exceeded"},
		"refused":      {script(slices.Repeat([]error{status(401)}, 100)...), "401 Unauthorized"},
		"well again":   {script(slices.Repeat([]error{page(404)}, 5)...), ""},
		"another kind": {func(context.Context, string) (task.Workflow, error) { return task.Workflow{}, errors.New("odd") }, "no answer: odd"},
		"very long":    {script(slices.Repeat([]error{&task.StatusError{HTTPStatus: 500, Message: strings.Repeat("ü", 5000)}}, 100)...), "500: üü"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				outcome := wait(t, newPoller(tt.answers, rate.Inf), fresh(time.Minute))
				if !outcome.TimedOut || !strings.HasPrefix(outcome.LastError, tt.want) || (tt.want == "") != (outcome.LastError == "") {
					t.Errorf("got %+v, want a time-out that says %q", outcome, tt.want)
				}
				if got := len(outcome.LastError); got > 310 || !utf8.ValidString(outcome.LastError) {
					t.Errorf("got %d bytes of text, %q, want it bounded and UTF-8", got, outcome.LastError)
				}
			})
		})
	}
}

func TestOnlyAnswersToTheWorkerPausePolls(t *testing.T) {
	t.Parallel()
	for _, code := range []int{0, 400, 404, 408, 500, 502, 503, 504} {
		synctest.Test(t, func(t *testing.T) {
			var calls []time.Time
			answers := slices.Repeat([]error{status(code)}, 4)
			wait(t, newPoller(noted(&calls, script(answers...)), rate.Inf), fresh(time.Minute))
			wantBetween(t, "time of five polls", calls[4].Sub(calls[0]), 4*interval, 5*interval)
		})
	}
}
