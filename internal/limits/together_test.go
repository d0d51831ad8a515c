package limits_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/limits"
)

// With different settings the lowest one applies to all, as long as a worker has it.
func TestTheLowestSettingApplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		auto, low, high := f.keeper(1, 0), f.keeper(2, 10), f.keeper(3, 20)
		for range 300 {
			f.held = f.most
			look(t, auto, low, high)
		}
		f.want(t, 10)
		if f.changes > 3 {
			t.Errorf("got %d changes in ten minutes, want one for each setting", f.changes)
		}
		for range 300 { // the worker with the lowest one is gone
			f.held = f.most
			look(t, auto, high)
		}
		f.want(t, 20)
	})
}

// Ten workers ask for the plan at different times. The newest answer counts, and the limit changes once.
func TestANewPlanIsFollowedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var keepers []*limits.Keeper
		for worker := range 10 {
			keepers = append(keepers, f.keeper(worker, 0))
			look(t, keepers[worker])
			<-time.After(20 * time.Second)
		}
		before := f.changes
		f.plan = 200
		looks(t, 300, keepers...)
		f.want(t, 200)
		if got := f.changes - before; got != 1 {
			t.Errorf("got %d changes, want 1", got)
		}
	})
}

// One wrong answer is not a plan.
func TestAPlanThatIsToldOnceDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		k := f.keeper(1, 0)
		look(t, k)
		<-time.After(5 * time.Minute)
		f.plan = 1
		look(t, k)
		f.plan = 25
		looks(t, 300, k)
		f.want(t, 25)
		if f.changes != 1 {
			t.Errorf("got %d changes, want 1", f.changes)
		}
	})
}

// NATS redelivers too late with more.
func TestAHugePlanIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.plan = 150_000
		k := f.keeper(1, 0)
		looks(t, 30, k)
		f.want(t, 100_000)
		if f.changes != 1 {
			t.Errorf("got %d changes, want 1", f.changes)
		}
	})
}

// The clock of NATS goes back: the wait until the next raise does not last as long as that.
func TestAWaitThatIsTooLongIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.value, f.revision = []byte(`{"in_flight":1,"plan":25,"changed_at":"2020-01-01T00:00:00Z","raise_at":"2099-01-01T00:00:00Z"}`), 1
		k := f.keeper(1, 0)
		for range 60 {
			f.held = f.most
			look(t, k)
		}
		f.want(t, 25)
	})
}

// Only a raise that came too early lengthens the wait until the next one.
func TestTheWaitGrowsAfterARaiseThatCameTooEarly(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := limits.Cap{}.Next(limits.Seen{Plan: 100}, now)
	refuse := func() {
		now = now.Add(15 * time.Second)
		c = c.Next(limits.Seen{Plan: 100, Held: c.InFlight, Refused: true}, now)
	}
	refuse()
	refuse()
	if c.Wait != 20*time.Second {
		t.Errorf("got a wait of %v after refusals without a raise, want 20s", c.Wait)
	}
	now = now.Add(time.Minute)
	c = c.Next(limits.Seen{Plan: 100, Held: c.InFlight}, now) // a raise
	refuse()
	if c.Wait != 40*time.Second {
		t.Errorf("got a wait of %v after a raise that came too early, want 40s", c.Wait)
	}
}

// Where tasks are short, a hundred of them show sooner than the wait that something may have changed.
func TestAHundredTasksEndTheWait(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	c := limits.Cap{}.Next(limits.Seen{Plan: 100}, now)
	now = now.Add(15 * time.Second)
	c = c.Next(limits.Seen{Plan: 100, Held: 100, Refused: true, Running: 50, Delivered: 1000}, now)
	now = now.Add(12 * time.Second) // of 20
	if got := c.Next(limits.Seen{Plan: 100, Held: c.InFlight, Delivered: 1099}, now).InFlight; got != 50 {
		t.Errorf("got a limit of %d after 99 tasks, want 50", got)
	}
	if got := c.Next(limits.Seen{Plan: 100, Held: c.InFlight, Delivered: 1100}, now).InFlight; got <= 50 {
		t.Errorf("got a limit of %d after 100 tasks, want more than 50", got)
	}
}

// A person or a tool changes the consumer: the limit is set back, and the log says so.
func TestAChangeByOthersIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		k := f.keeper(1, 0)
		look(t, k)
		look(t, k)
		f.most = 500
		look(t, k)
		f.want(t, 25)
	})
}
