package limits_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/limits"
)

// What others have open of the plan's browsers is not used, as long as they have it.
func TestSessionsOfOthersCountAgainstThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.sessions = limits.Sessions{All: 10, Others: 10}
		k := f.keeper(1, 0)
		look(t, k)
		f.want(t, 15)
		f.held, f.sessions = 15, limits.Sessions{All: 20, Others: 5}
		looks(t, 20, k)
		f.want(t, 20)
		f.sessions = limits.Sessions{All: 20}
		looks(t, 20, k)
		f.want(t, 25)
	})
}

// All browsers of the plan are in use by others: one task is tried nevertheless.
func TestOneTaskIsTriedWhateverOthersUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.sessions = limits.Sessions{All: 40, Others: 40}
		look(t, f.keeper(1, 0))
		f.want(t, 1)
	})
}

// A task that waits for its retry is held, and has no session.
func TestTasksWithoutASessionDoNotHideOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.held, f.sessions = 25, limits.Sessions{All: 25, Others: 10}
		look(t, f.keeper(1, 0))
		f.want(t, 15)
	})
}

// An API that names no tags in its list makes sessions of tasks look like those of others.
func TestSessionsOfTasksDoNotCountAgainstThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.held, f.sessions = 25, limits.Sessions{All: 25, Others: 25}
		k := f.keeper(1, 0)
		looks(t, 60, k)
		f.want(t, 25)
	})
}

// A count that cannot be renewed does not hold for ever.
func TestAnOldCountOfSessionsIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		f.sessions = limits.Sessions{All: 10, Others: 10}
		k := f.keeper(1, 0)
		look(t, k)
		f.noSessions = errors.New("the API is away")
		looks(t, 55, k)
		f.want(t, 15)
		looks(t, 20, k)
		f.want(t, 25)
	})
}

// However many workers there are, the sessions are counted about twice a minute.
func TestOneWorkerCountsTheSessionsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet()
		var all []*limits.Keeper
		for worker := range 10 {
			all = append(all, f.keeper(worker, 0))
		}
		began := time.Now()
		looks(t, 300, all...)
		if most := int(time.Since(began)/(30*time.Second)) + len(all); f.counts > most {
			t.Errorf("got %d counts in %v, want at most %d", f.counts, time.Since(began), most)
		}
	})
}

func (f *fleet) count(context.Context) (limits.Sessions, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts++
	return f.sessions, f.noSessions
}
