package servertime_test

import (
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/servertime"
)

func TestTheClockFollowsTheServer(t *testing.T) {
	asked := time.Now()
	for name, c := range map[string]struct{ ahead, want time.Duration }{
		"in step":              {20 * time.Millisecond, 0},
		"two hours ahead":      {2 * time.Hour, 2*time.Hour - 50*time.Millisecond},
		"ten seconds behind":   {-10 * time.Second, -10*time.Second - 50*time.Millisecond},
		"within the call only": {100 * time.Millisecond, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var clock servertime.Clock
			clock.Observe(asked.Add(c.ahead), asked, asked.Add(100*time.Millisecond))
			if got := clock.Skew(); got != c.want {
				t.Errorf("got a skew of %v, want %v", got, c.want)
			}
			if got := time.Until(clock.Now()); (got - c.want).Abs() > time.Second {
				t.Errorf("got a time %v from now, want %v", got, c.want)
			}
		})
	}
}

func TestAnAnswerWithoutATimeChangesNothing(t *testing.T) {
	var clock servertime.Clock
	clock.Observe(time.Now().Add(time.Hour), time.Now(), time.Now())
	before := clock.Skew()
	clock.Observe(time.Time{}, time.Now(), time.Now())
	if got := clock.Skew(); got != before {
		t.Errorf("got %v, want %v", got, before)
	}
}

func TestANilClockTellsThisMachinesTime(t *testing.T) {
	var none *servertime.Clock
	if got := time.Since(none.Now()).Abs(); got > time.Second {
		t.Errorf("got a time that differs by %v, want now", got)
	}
}

func TestAMomentIsToldByTheServersClock(t *testing.T) {
	var clock servertime.Clock
	asked := time.Now()
	clock.Observe(asked.Add(2*time.Hour), asked, asked)
	if got := clock.At(asked); !got.Equal(asked.Add(2 * time.Hour)) {
		t.Errorf("got %v for %v, want two hours later", got, asked)
	}
	if got := clock.At(time.Time{}); !got.IsZero() {
		t.Errorf("got %v for no time", got)
	}
}
