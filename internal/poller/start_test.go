package poller_test

import (
	"strconv"
	"testing"
	"time"
)

// The first tasks of a worker cost about as much as all others if other workers have learned, and no more than with a fixed
// interval if nobody has, even if they all begin at once.
func TestTheFirstTasksOfAWorker(t *testing.T) {
	t.Parallel()
	skipSimulation(t)
	const first = 300
	for atOnce, c := range map[int]struct {
		times          int
		started, alone float64
	}{
		10:    {5, 0.8, 0.95},
		100:   {5, 0.8, 1},
		first: {12, 0.8, 1.05}, // it varies more
	} {
		t.Run(strconv.Itoa(atOnce)+" at once", func(t *testing.T) {
			var started, alone spent
			for range c.times {
				store := newBucket()
				load{run: logNormal(20, 0.5), tasks: 600, store: store}.spend(t)
				l := load{run: logNormal(20, 0.5), tasks: first, atOnce: atOnce}
				alone.add(l.spend(t))
				l.store = store
				started.add(l.spend(t))
			}
			t.Logf("product %.3f after others have learned, %.3f before anything is learned", started.product(), alone.product())
			if got := started.product(); got > c.started {
				t.Errorf("after others have learned: got %.2f of a fixed interval's product of calls and delay, want %.2f or less", got, c.started)
			}
			if got := alone.product(); got > c.alone {
				t.Errorf("before anything is learned: got %.2f of a fixed interval's product of calls and delay, want %.2f or less", got, c.alone)
			}
		})
	}
}

// A few ends say more than none.
func TestTheVeryFirstTasksCostLessThanWithTheGrowingInterval(t *testing.T) {
	t.Parallel()
	var learning, growing spent
	for range 50 {
		l := load{run: logNormal(20, 0.5), tasks: 20, atOnce: 10}
		learning.add(l.spend(t))
		l.fresh = true
		growing.add(l.spend(t))
	}
	t.Logf("product %.3f, with the growing interval %.3f", learning.product(), growing.product())
	if learning.product() > 0.9*growing.product() {
		t.Errorf("got a product of calls and delay of %.2f, want nine tenths of the growing interval's, %.2f, or less",
			learning.product(), growing.product())
	}
}

// When many tasks begin at once, what was seen of their first seconds has faded before most of them end.
func TestABurstOfTasksLearnsFromItself(t *testing.T) {
	t.Parallel()
	const tasks = 3000
	s := load{run: logNormal(20, 0.5), tasks: tasks, atOnce: tasks}.spend(t)
	t.Logf("%.2f calls, %.2f s of delay, product %.3f", s.calls, s.delay, s.product())
	if s.product() > 1.5 {
		t.Errorf("got %.2f of a fixed interval's product of calls and delay, want 1.50 or less", s.product())
	}
}

// Nobody can see how long a task took that had ended before its first poll.
func TestTasksThatEndBeforeTheirFirstPollAreNotNoticedLater(t *testing.T) {
	t.Parallel()
	for _, run := range []time.Duration{0, interval / 4, interval / 2} {
		l := load{run: func(int) time.Duration { return run }, tasks: 1000, skip: 300}
		learned := l.spend(t)
		l.fresh = true
		growing := l.spend(t)
		t.Logf("%v: delay %.2f s, %.2f s before anything is learned", run, learned.delay, growing.delay)
		if learned.delay > growing.delay {
			t.Errorf("tasks of %v: got a delay of %.2f s, want no more than before anything is learned, %.2f s", run, learned.delay, growing.delay)
		}
	}
}
