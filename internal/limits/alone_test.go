package limits_test

import (
	"errors"
	"testing"
	"testing/synctest"
)

// Without the store nothing is learned, and the plan is kept.
func TestTheCapIsThePlanWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.noStore = errors.New("no bucket")
		k := f.keeper(1, 0)
		f.held, f.running, f.refusals[1] = 25, 10, 5
		looks(t, 20, k)
		f.want(t, 25)
		f.noStore = nil
		look(t, k)
		f.want(t, 25)
	})
}

// A store that fails for a while does not make the workers forget what they learned.
func TestTheCapStaysWhileTheStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		k := f.refusedKeeper(t, 17)
		f.noStore, f.held = errors.New("no bucket"), 17
		looks(t, 60, k)
		f.want(t, 17)
	})
}

// A login that may not change the consumer goes on, and says what would be right.
func TestAWorkerSaysWhatItMayNotChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.denied = errors.New("no permission")
		k := f.keeper(1, 0)
		looks(t, 3, k)
		f.want(t, 10000)
		if got, want := k.Describe(), "10000 tasks in progress on all workers; 25 would be right: the plan runs 25 browsers"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A cap that was lowered does not stay low for ever because the store is gone.
func TestTheCapRisesAgainWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		k := f.refusedKeeper(t, 17)
		f.noStore = errors.New("no bucket")
		looks(t, 310, k) // more than ten minutes
		f.want(t, 25)
	})
}

// Without the store workers cannot agree: one that lowers the limit has the last word.
func TestWithoutTheStoreNoWorkerRaisesWhatAnotherLowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.noStore = errors.New("no bucket")
		auto, set := f.keeper(1, 0), f.keeper(2, 10)
		looks(t, 600, auto, set)
		f.want(t, 10)
		if f.changes > 4 {
			t.Errorf("got %d changes in 20 minutes, want hardly any", f.changes)
		}
		if got, want := auto.Describe(), "10 tasks in progress on all workers: another worker or a person has set it"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// A worker that cannot ask for the plan does not raise the limit.
func TestWithoutTheStoreAnUnknownPlanRaisesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.noStore = errors.New("no bucket")
		knows := f.keeper(1, 0)
		look(t, knows)
		f.noPlan = errors.New("no answer")
		second := f.keeper(2, 0)
		looks(t, 600, second)
		f.want(t, 25)
		if f.changes != 1 {
			t.Errorf("got %d changes, want 1", f.changes)
		}
	})
}

// A login may read the bucket, and not write it.
func TestAStoreThatCannotBeWrittenIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		look(t, f.keeper(1, 0))
		f.readOnly, f.plan = errors.New("no permission"), 10
		second := f.keeper(2, 0)
		looks(t, 100, second)
		f.want(t, 10)
		if f.changes != 2 {
			t.Errorf("got %d changes, want 2", f.changes)
		}
	})
}
