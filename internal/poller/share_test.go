package poller_test

import (
	"context"
	"math"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

// ends is what this many ends count for together: earlier ones have faded.
func ends(n int) float64 { return 200 * (1 - math.Pow(1-1.0/200, float64(n))) }

// wantEnds checks how many ends of the kind "k" are shared, and what they count for.
func wantEnds(t *testing.T, store *bucket, n int) {
	t.Helper()
	got := store.value(t, "k")
	if got.Seen != min(n, 200) || math.Abs(sum(got.Ends)-ends(n)) > 0.05 {
		t.Errorf("got %d ends that count for %.2f, want %d that count for %.2f", got.Seen, sum(got.Ends), min(n, 200), ends(n))
	}
}

// About the last 200 ends count, also of a kind of which few tasks end between two exchanges.
func TestEndsFadeHoweverTheyAreCutIntoExchanges(t *testing.T) {
	t.Parallel()
	const all = 400
	for _, each := range []int{1, 5, 9, 50, all} {
		t.Run(strconv.Itoa(each), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newBucket()
				for rest := all; rest > 0; rest -= each {
					learnAndShare(t, store, min(each, rest))
				}
				wantEnds(t, store, all)
			})
		})
	}
}

// What several workers learn at the same time is added up, whoever writes first.
func TestWhatSeveralWorkersLearnIsAddedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newBucket()
		const workers, each = 3, 10
		var all []*sharing
		var seeing sync.WaitGroup
		for range workers {
			s := share(t, store)
			seeing.Go(func() { s.see(each, "k") })
			all = append(all, s)
		}
		seeing.Wait()
		// The first one reads before the others have written, and writes after them.
		var writes atomic.Int64
		written := make(chan struct{})
		store.onPut(func(_ context.Context, _ string, write func() error) error {
			if writes.Add(1) == 1 {
				<-written
			}
			return write()
		})
		go all[0].stop()
		synctest.Wait()
		all[1].stop()
		all[2].stop()
		close(written)
		all[0].stop()
		wantEnds(t, store, workers*each)
	})
}

// A task that runs and runs says as much about its kind as one that ends.
func TestRunningTimeWithoutAnEndIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newBucket()
		s := share(t, store)
		s.see(10, "running") // exchanged several times meanwhile
		s.stop()
		got := store.value(t, "running")
		if ran := sum(got.Ran); got.Seen != 0 || ran < 550 || ran > 600 {
			t.Errorf("got %.1f s and %d ends, want nearly 600 s without an end", ran, got.Seen)
		}
	})
}

// A worker that starts needs no ends of its own, or only those that are missing.
func TestEndsOfAllWorkersTogetherAreEnough(t *testing.T) {
	t.Parallel()
	const enough = 8
	for _, others := range []int{enough, enough - 1, enough - 3, 1} {
		synctest.Test(t, func(t *testing.T) {
			store := newBucket()
			learnAndShare(t, store, others)
			s := share(t, store)
			s.see(1, "k") // the kind is read meanwhile
			if missing := enough - others - 1; missing > 0 {
				wantGrowing(t, s.see(missing, "k"))
			}
			wantLearned(t, s.see(1, "k"))
		})
	}
}

// The interval depends on what was learned as soon as enough tasks have ended, wherever they ended.
func TestTheEndsThatWereMissingCountAtOnce(t *testing.T) {
	t.Parallel()
	const run = 10 * time.Second
	synctest.Test(t, func(t *testing.T) {
		store := newBucket()
		store.set(t, "k", learned{Version: 1, Seen: 6, Ends: make([]float64, 84), Ran: make([]float64, 84)}) // at no age
		var began time.Time
		var first time.Duration // poll
		s := shareWith(t, store, func(context.Context, string) (task.Workflow, error) {
			if first == 0 {
				first = time.Since(began)
			}
			if time.Since(began) < run {
				return task.Workflow{Status: "RUNNING"}, nil
			}
			return task.Workflow{Status: "COMPLETED"}, nil
		})
		for range 3 {
			began, first = time.Now(), 0
			s.see(1, "k")
		}
		// By what was known at the last exchange, it would come before two seconds have passed.
		wantBetween(t, "first poll", first, run/2, run*12/10)
	})
}

// What is known is exchanged about once a minute, however many new kinds come.
func TestNewKindsDoNotDelayTheExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newBucket()
		s := share(t, store)
		s.see(1, "k")
		for began := time.Now(); time.Since(began) < 91*time.Second; {
			s.see(1, "new at "+time.Now().String())
		}
		if !store.knows("k") {
			t.Error("got no value of a kind after 91 s, want one")
		}
	})
}

// A key may expire or be deleted, and a bucket recreated. Then the workers write what they know again, once.
func TestALostKeyIsWrittenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newBucket()
		const workers, each = 3, 15
		var all []*sharing
		for range workers {
			s := share(t, store)
			s.see(each, "k")
			all = append(all, s)
		}
		<-time.After(5 * time.Minute) // now each knows what all have learned
		wantEnds(t, store, workers*each)
		store.clear()
		<-time.After(5 * time.Minute)
		wantEnds(t, store, workers*each)
		store.clear()
		for _, s := range all {
			wantLearned(t, s.see(1, "k"))
		}
		<-time.After(5 * time.Minute)
		wantEnds(t, store, workers*(each+1))
	})
}

// NATS refuses a key with other characters (ADR-8), and a dot would begin another token.
func TestEveryKindHasAKey(t *testing.T) {
	t.Parallel()
	legal := regexp.MustCompile(`^pace\.[-=_a-zA-Z0-9]+$`)
	keys := map[string]string{}
	for _, kind := range []string{`"browser-use" "gpt-4o" 32`, "  ", `"a.b" "c" `, `"a" "b.c" `, "\xff\x00*>", `"=2E"`, "."} {
		key := poller.PaceKey(kind)
		if !legal.MatchString(key) {
			t.Errorf("kind %q: got key %q, want one that NATS accepts", kind, key)
		}
		if other, ok := keys[key]; ok {
			t.Errorf("kinds %q and %q: got key %q for both", kind, other, key)
		}
		keys[key] = kind
	}
}
