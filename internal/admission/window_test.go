package admission_test

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

func TestAnswersOutOfOrder(t *testing.T) {
	type answer struct {
		sent      time.Duration // before now
		remaining int
		reset     time.Duration // from then
	}
	for name, tt := range map[string]struct {
		answers []answer
		want    int
	}{
		"the fewest of one window":            {[]answer{{0, 3, 40 * time.Second}, {0, 1, 40 * time.Second}, {0, 2, 40 * time.Second}}, 1},
		"of one window, by another second":    {[]answer{{2 * time.Second, 1, 41 * time.Second}, {time.Second, 2, 41 * time.Second}}, 1},
		"the next window":                     {[]answer{{20 * time.Second, 0, 25 * time.Second}, {0, 4, 59 * time.Second}}, 4},
		"the next window, and the one before": {[]answer{{0, 4, 59 * time.Second}, {20 * time.Second, 0, 25 * time.Second}}, 4},
		"a window that is over":               {[]answer{{0, 4, 59 * time.Second}, {40 * time.Second, 0, 35 * time.Second}}, 4},
		"other rules from now on":             {[]answer{{20 * time.Second, 0, time.Hour}, {0, 3, 30 * time.Second}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(8, rate.Inf)
				for _, told := range tt.answers {
					a.NoteStarts(task.Starts{
						Sent: time.Now().Add(-told.sent), Remaining: told.remaining, Reset: told.reset, Quota: 5, Window: time.Minute,
					})
				}
				wantFree(t, a, tt.want)
			})
		})
	}
}

// Answers round the end up to seconds. The earliest is right.
func TestTheEarliestEndOfAWindowCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(8, rate.Inf)
		tell(t, a, 1, time.Minute)
		<-time.After(900 * time.Millisecond)
		tell(t, a, 0, time.Minute)
		wantWaited(t, a, 59*time.Second, 59500*time.Millisecond)
	})
}

// The API's window begins with the first submission, and not when a worker assumes it.
func TestAnAssumedEndDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(8, rate.Inf)
		tell(t, a, 0, time.Second)
		<-time.After(time.Minute)
		release := acquire(t, a)
		<-time.After(time.Second)
		a.NoteStarts(task.Starts{Sent: time.Now(), Remaining: 0, Reset: time.Minute, Quota: 5, Window: time.Minute})
		release(nil)
		wantWaited(t, a, time.Minute, 61*time.Second)
	})
}

func TestStartsOfAnEarlierWindowDoNotCountInTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(8, rate.Inf)
		tell(t, a, 1, 10*time.Second)
		earlier := acquire(t, a)
		<-time.After(time.Minute)
		wantFree(t, a, 5)
		acquire(t, a)
		wantFree(t, a, 4)
		earlier(task.ErrNotSubmitted)
		wantFree(t, a, 4)
	})
}
