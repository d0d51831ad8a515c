package admission_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/task"
)

// Whoever leaves the line, wherever it stands, the others keep their order.
func TestTheLineKeepsItsOrderWhenSomeLeave(t *testing.T) {
	for name, leaving := range map[string][]int{
		"nobody": {}, "the first": {0}, "the first two": {0, 1}, "one in the middle": {2}, "the last": {5}, "all but one": {5, 0, 4, 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(1, rate.Inf)
				release := acquire(t, a) // the only slot
				var leave [6]context.CancelFunc
				in := make(chan acquired, len(leave))
				for i := range leave {
					var ctx context.Context
					ctx, leave[i] = context.WithCancel(t.Context())
					t.Cleanup(leave[i])
					join(ctx, a, "", nil, i, in)
				}
				left := map[int]bool{}
				for _, i := range leaving {
					leave[i]()
					if got := <-in; got.number != i || !errors.Is(got.err, context.Canceled) {
						t.Fatalf("got %+v, want %d to leave", got, i)
					}
					left[i] = true
				}
				for i := range leave {
					if left[i] {
						continue
					}
					release(nil)
					release = admitted(t, in, i)
				}
				release(nil)
				acquire(t, a)(nil)
			})
		})
	}
}

// Each submission that waits looks every five seconds: the first in line, and those behind it. It keeps its place.
func TestASubmissionThatWaitsLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, rate.Inf)
		release := acquire(t, a)
		var looks [3]atomic.Int32
		in := make(chan acquired, len(looks))
		for i := range looks {
			join(t.Context(), a, "", func() error { looks[i].Add(1); return nil }, i, in)
		}
		<-time.After(16 * time.Second)
		for i := range looks {
			if got := looks[i].Load(); got != 3 {
				t.Errorf("submission %d: got %d looks in 16 s, want 3", i, got)
			}
			release(nil)
			release = admitted(t, in, i)
		}
		release(nil)
		before := looks[2].Load()
		<-time.After(time.Minute)
		if got := looks[2].Load(); got != before {
			t.Errorf("got %d looks after it had its slot, want none", got-before)
		}
	})
}

// So does one with a session while those are paused.
func TestASubmissionWithAPausedSessionLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(4, rate.Inf)
		for i := range 3 {
			submit(t, a, fmt.Sprint("s", i), forbidden())
		}
		var looks [2]atomic.Int32
		in := make(chan acquired, len(looks))
		for i := range looks {
			join(t.Context(), a, "d", func() error { looks[i].Add(1); return nil }, i, in)
		}
		probe := admitted(t, in, 0)
		<-time.After(21 * time.Second)
		if got := looks[1].Load(); got < 4 {
			t.Errorf("got %d looks of the one behind the probe in 21 s, want at least 4", got)
		}
		probe(nil)
		admitted(t, in, 1)(nil)
	})
}

// So does one whose token of the rate would come after its deadline.
func TestASubmissionThatIsTooLateLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, rate.Every(time.Hour))
		acquire(t, a)(nil)
		ctx, cancel := context.WithTimeout(t.Context(), 16*time.Second)
		defer cancel()
		looks := 0
		if _, err := a.Acquire(ctx, "", func() error { looks++; return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if looks != 3 {
			t.Errorf("got %d looks in 16 s, want 3", looks)
		}
	})
}

// A submission whose look fails gives up with that error, wherever it stands. Nobody else does.
func TestAFailedLookEndsTheWait(t *testing.T) {
	for name, number := range map[string]int{"first in line": 0, "in the middle": 1, "last": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAdmission(1, rate.Inf)
				release := acquire(t, a)
				in := make(chan acquired, 3)
				for i := range 3 {
					join(t.Context(), a, "", func() error {
						if i == number {
							return task.ErrNotOwner
						}
						return nil
					}, i, in)
				}
				if got := <-in; got.number != number || !errors.Is(got.err, task.ErrNotOwner) {
					t.Fatalf("got %d with %v, want %d with %v", got.number, got.err, number, task.ErrNotOwner)
				}
				for i := range 3 {
					if i != number {
						release(nil)
						release = admitted(t, in, i)
					}
				}
				release(nil)
			})
		})
	}
}

// A look that fails just when its submission may leave gives the slot back.
func TestAFailedLookGivesTheSlotBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, rate.Inf)
		release := acquire(t, a)
		in := make(chan acquired, 1)
		join(t.Context(), a, "", func() error {
			<-time.After(time.Second) // meanwhile the slot is free
			return task.ErrNotOwner
		}, 0, in)
		<-time.After(5500 * time.Millisecond)
		release(nil)
		if got := <-in; !errors.Is(got.err, task.ErrNotOwner) {
			t.Fatalf("got %v, want %v", got.err, task.ErrNotOwner)
		}
		acquire(t, a)(nil)
	})
}

// A look that takes long delays only its own submission and those behind it, and is not called twice at once.
func TestALookIsNotCalledTwiceAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(1, rate.Inf)
		release := acquire(t, a)
		var now, most atomic.Int32
		in := make(chan acquired, 2)
		for i := range 2 {
			join(t.Context(), a, "", func() error {
				if i == 1 {
					most.Store(max(most.Load(), now.Add(1)))
					<-time.After(7 * time.Second)
					now.Add(-1)
				}
				return nil
			}, i, in)
		}
		<-time.After(6 * time.Second) // its look goes on when it becomes the first
		release(nil)
		release = admitted(t, in, 0)
		<-time.After(30 * time.Second)
		release(nil)
		admitted(t, in, 1)(nil)
		if got := most.Load(); got != 1 {
			t.Errorf("got %d looks at once, want 1", got)
		}
	})
}
