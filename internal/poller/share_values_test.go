package poller_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

// Anything can write to the bucket, also a later version. What this one does not understand is ignored, and stays.
func TestValuesThatAreNotUnderstoodAreLeftAlone(t *testing.T) {
	t.Parallel()
	valid := learned{Version: 1, Seen: 100, Ends: make([]float64, 84), Ran: make([]float64, 84)}
	later, none, negative, large, many := valid, valid, valid, valid, valid
	later.Version, none.Version = 2, 0
	negative.Ends = append([]float64{-1}, valid.Ends[1:]...)
	large.Ran = append([]float64{1e13}, valid.Ran[1:]...)
	many.Seen = 1e9
	empty := new(int)
	for _, value := range []any{
		later, none, negative, large, many, nil, empty, "", 1,
		[]int{},
		map[string]string{"version": "1"},
		learned{Version: 1},
		learned{Version: 1, Ends: make([]float64, 85), Ran: make([]float64, 85)},
	} {
		synctest.Test(t, func(t *testing.T) {
			store := newBucket()
			store.set(t, "k", value)
			if value == empty {
				store.values[poller.PaceKey("k")] = nil
			}
			before := string(store.values[poller.PaceKey("k")])
			s := share(t, store)
			wantGrowing(t, s.see(1, "k"))
			s.see(30, "k")
			<-time.After(5 * time.Minute)
			wantLearned(t, s.see(1, "k"))
			s.stop()
			if got := string(store.values[poller.PaceKey("k")]); got != before {
				t.Errorf("value %s: got %s, want it unchanged", before, got)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // what is understood is read
		store := newBucket()
		store.set(t, "k", valid)
		learnAndShare(t, store, 1)
		if got := store.value(t, "k"); got.Seen != valid.Seen+1 {
			t.Errorf("got %d ends, want one more than %d", got.Seen, valid.Seen)
		}
	})
}

// However much is learned, the next worker can read it.
func TestWhatIsWrittenCanBeRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newBucket()
		most := learned{Version: 1, Seen: 200, Ends: make([]float64, 84), Ran: make([]float64, 84)}
		for bin := range most.Ends {
			most.Ends[bin], most.Ran[bin] = 1e12, 1e12
		}
		store.set(t, "running", most)
		for range 3 {
			revision := store.revisions[poller.PaceKey("running")]
			s := share(t, store)
			s.see(1, "running") // adds no end, so nothing fades
			s.stop()
			if store.revisions[poller.PaceKey("running")] == revision {
				t.Errorf("got no new value, want one: the last was not understood")
			}
		}
	})
}

// Whatever the bucket holds, a worker polls neither more nor less often than it may. Each byte is a power of ten.
func FuzzSharedValues(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{255})
	f.Add([]byte{0, 255})
	f.Add([]byte{255, 0})
	f.Add([]byte{128, 255, 0, 3, 200, 150, 1})
	f.Fuzz(func(t *testing.T, powers []byte) {
		if len(powers) == 0 {
			return
		}
		value := learned{Version: 1, Seen: 200, Ends: make([]float64, 84), Ran: make([]float64, 84)}
		number := func(i int) float64 {
			power := powers[i%len(powers)]
			if power == 0 {
				return 0
			}
			return min(math.Pow(10, float64(power)/10-13), 1e12)
		}
		for bin := range value.Ends {
			value.Ends[bin], value.Ran[bin] = number(2*bin), number(2*bin+1)
		}
		synctest.Test(t, func(t *testing.T) {
			store := newBucket()
			store.set(t, "running", value)
			began := time.Now()
			last := began
			s := shareWith(t, store, func(ctx context.Context, id string) (task.Workflow, error) {
				gap := time.Since(last)
				isLast := time.Since(began) >= 59*time.Second // due whenever the poll before it was
				if !isLast && gap < interval/4 || gap > maxInterval*11/10+time.Millisecond {
					t.Fatalf("got polls %v apart, want %v to %v", gap, interval/4, maxInterval)
				}
				last = time.Now()
				return running(ctx, id)
			})
			s.see(1, "running")
		})
	})
}
