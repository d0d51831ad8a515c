package poller_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

// Nothing depends on the store: a worker without it polls as before.
func TestAWorkerLearnsWithoutTheStore(t *testing.T) {
	t.Parallel()
	for name, deny := range map[string]func(*bucket){
		"no read":  func(b *bucket) { b.onGet(fails) },
		"no write": func(b *bucket) { b.onPut(fails) },
	} {
		for _, known := range []int{0, 1} { // ends
			t.Run(name+", known ends: "+strconv.Itoa(known), func(t *testing.T) {
				store := newBucket()
				synctest.Test(t, func(t *testing.T) { learnAndShare(t, store, known) })
				deny(store)
				s := load{run: logNormal(20, 0.5), tasks: 3000, skip: 500, store: store}.spend(t)
				t.Logf("product %.3f", s.product())
				if got := s.product(); got > 0.79 {
					t.Errorf("got %.2f of a fixed interval's product of calls and delay, want 0.79 or less", got)
				}
			})
		}
	}
}

// What could not be shared for minutes is shared later.
func TestWhatWasLearnedWithoutTheStoreIsSharedLater(t *testing.T) {
	t.Parallel()
	for name, deny := range map[string]func(*bucket){
		"no read":  func(b *bucket) { b.onGet(fails) },
		"no write": func(b *bucket) { b.onPut(fails) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newBucket()
				deny(store)
				s := share(t, store)
				s.see(150, "k")
				store.onGet(direct)
				store.onPut(direct)
				s.stop()
				wantEnds(t, store, 150)
			})
		})
	}
}

// A write that nobody answered may have happened, or may happen later.
func TestNoEndCountsTwice(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		put     func(write func() error) error
		slow    bool // ends come meanwhile
		another bool // worker writes one end before the next exchange
		want    int
	}{
		"conflict":                         {conflict, false, false, 40},
		"slow conflict":                    {conflict, true, false, 45},
		"failed":                           {failed, false, false, 40},
		"failed slowly":                    {failed, true, false, 45},
		"failed but happened":              {happened, false, false, 40},
		"failed slowly but happened":       {happened, true, false, 45},
		"failed but happened, and another": {happened, false, true, 41},
		"failed, and another":              {failed, false, true, 31}, // what was sent is lost
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newBucket()
				s := share(t, store)
				s.see(20, "k")
				<-time.After(2 * time.Minute)
				store.onGet(fails) // so that the next ten are written at once
				s.see(10, "k")
				during, after := func() {}, func() {}
				if c.slow {
					during = func() { s.see(5, "k") }
				}
				if c.another {
					after = func() { learnAndShare(t, store, 1) }
				}
				writes := 0
				store.onPut(func(_ context.Context, _ string, write func() error) error {
					writes++
					if writes > 1 {
						return write()
					}
					during()
					err := c.put(write)
					after()
					return err
				})
				store.onGet(direct)
				<-time.After(2 * time.Minute)
				s.see(10, "k")
				s.stop()
				wantEnds(t, store, c.want)
			})
		})
	}
}

func conflict(func() error) error { return task.ErrConflict }

func failed(func() error) error { return errNoAnswer }

func happened(write func() error) error {
	_ = write()
	return errNoAnswer
}

// A write that nobody answered happens between the next read and the next write.
func TestALateWriteCountsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newBucket()
		s := share(t, store)
		s.see(10, "k")
		late := []func() error{}
		store.onPut(func(_ context.Context, _ string, write func() error) error {
			late = append(late, write)
			if len(late) == 1 {
				return errNoAnswer
			}
			_ = late[0]()
			return write()
		})
		<-time.After(91 * time.Second) // an exchange, and perhaps the next
		s.see(10, "k")
		s.stop()
		if len(late) < 2 {
			t.Errorf("got %d writes, want a late one and another", len(late))
		}
		wantEnds(t, store, 20)
	})
}

// A store that fails is asked for one kind, not for all: each call may take seconds.
func TestAFailingStoreIsNotAskedForEachKind(t *testing.T) {
	t.Parallel()
	for name, deny := range map[string]func(*bucket, around){"read": (*bucket).onGet, "write": (*bucket).onPut} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				store := newBucket()
				s := share(t, store)
				for range 2 { // so that there is news of all
					for i := range 100 {
						s.see(1, strconv.Itoa(i))
					}
					deny(store, func(context.Context, string, func() error) error { calls.Add(1); return errNoAnswer })
				}
				before := calls.Load()
				<-time.After(5 * time.Minute)
				if got := calls.Load() - before; got < 3 || got > 10 {
					t.Errorf("got %d calls in 5 minutes, want one a minute", got)
				}
			})
		})
	}
}

// A kind whose value cannot be read, or that others always write first, does not keep other kinds from being shared.
func TestOneKindDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testing.T, *bucket){
		"foreign value": func(t *testing.T, b *bucket) { t.Helper(); b.set(t, "0", "?") },
		"conflict": func(_ *testing.T, b *bucket) {
			b.onPut(func(_ context.Context, key string, write func() error) error {
				if key == poller.PaceKey("0") {
					return task.ErrConflict
				}
				return write()
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newBucket()
				spoil(t, store)
				s := share(t, store)
				const kinds = 20
				for i := range kinds {
					s.see(1, strconv.Itoa(i))
				}
				s.stop()
				for i := 1; i < kinds; i++ {
					if got := store.value(t, strconv.Itoa(i)); got.Seen != 1 {
						t.Errorf("kind %d: got %d ends, want 1", i, got.Seen)
					}
				}
			})
		})
	}
}

// A drain does not wait for a store that does not answer, however many kinds there are.
func TestADrainDoesNotWaitForTheStore(t *testing.T) {
	t.Parallel()
	for name, deny := range map[string]func(*bucket){
		"read":  func(b *bucket) { b.onGet(blocks) },
		"write": func(b *bucket) { b.onPut(blocks) },
	} {
		for _, after := range []time.Duration{0, 89 * time.Second, 95 * time.Second} { // also during an exchange
			t.Run(name+" after "+after.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := newBucket()
					deny(store)
					s := share(t, store)
					for i := range 100 {
						s.see(1, strconv.Itoa(i))
					}
					<-time.After(after)
					began := time.Now()
					s.stop()
					if took := time.Since(began); took > time.Second {
						t.Errorf("got a drain of %v, want 1s or less", took)
					}
				})
			})
		}
	}
}
