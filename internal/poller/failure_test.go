package poller_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestFiveAnswersInARowThatDoNotKnowTheWorkflowLoseIt(t *testing.T) {
	tests := map[string]struct {
		answers []error
		lost    bool
		polls   int
	}{
		"five":              {[]error{status(404), status(400), status(404), status(404), status(404)}, true, 5},
		"four":              {[]error{status(404), status(404), status(404), status(404)}, false, 0},
		"an answer between": {[]error{status(404), status(404), status(404), status(404), nil, status(404)}, false, 0},
		"others between":    {[]error{status(404), status(404), status(404), status(404), status(502), status(429), status(404)}, true, 7},
		"no answer between": {[]error{status(404), status(404), status(404), status(404), &task.StatusError{}, status(404)}, true, 5},
		"other failures":    {slices.Repeat([]error{status(500), &task.StatusError{}}, 10), false, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ending := wait(t, newPoller(script(tt.answers...), rate.Inf), fresh(30*time.Minute))
				if ending.Lost != tt.lost || ending.TimedOut == tt.lost {
					t.Errorf("got %+v, want lost: %v, else timed out", ending, tt.lost)
				}
				if tt.lost && ending.Polls != tt.polls {
					t.Errorf("got %d polls, want %d", ending.Polls, tt.polls)
				}
			})
		})
	}
}

func TestTooLargeAnswerEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPoller(script(nil, &task.StatusError{HTTPStatus: 200, TooLarge: true}), rate.Inf)
		ending := wait(t, p, fresh(time.Hour))
		if !ending.TooLarge || ending.Polls != 2 {
			t.Errorf("got %+v, want too large after 2 polls", ending)
		}
		wantBetween(t, "unnoticed", ending.Unnoticed, interval, interval*11/10)
	})
}

func TestOnlyAnswersToTheWorkerHoldPolls(t *testing.T) {
	for _, code := range []int{0, 400, 404, 408, 500, 502, 503, 504} {
		synctest.Test(t, func(t *testing.T) {
			var calls []time.Time
			answers := slices.Repeat([]error{status(code)}, 4)
			wait(t, newPoller(noted(&calls, script(answers...)), rate.Inf), fresh(time.Minute))
			wantBetween(t, "time of five polls", calls[4].Sub(calls[0]), 4*interval, 5*interval)
		})
	}
}
