package poller_test

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

// bucket is a store that workers share. before is called before each write, and its error returned; nil: there is none.
type bucket struct {
	before func(key string) error

	mu        sync.Mutex
	values    map[string][]byte
	revisions map[string]uint64
}

func newBucket() *bucket { return &bucket{values: map[string][]byte{}, revisions: map[string]uint64{}} }

func (b *bucket) Get(_ context.Context, key string) ([]byte, uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.values[key]), b.revisions[key], nil
}

func (b *bucket) Put(_ context.Context, key string, value []byte, revision uint64) error {
	if b.before != nil {
		if err := b.before(key); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.revisions[key] != revision {
		return task.ErrConflict
	}
	b.values[key], b.revisions[key] = value, revision+1
	return nil
}

// seen returns how many ends the only value counts, and the sum of the ends at all ages.
func (b *bucket) seen(t *testing.T) (n int, sum float64) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.values) != 1 {
		t.Fatalf("got %d values, want 1", len(b.values))
	}
	for _, value := range b.values {
		var read struct {
			Seen int
			Ends []float64
		}
		if err := json.Unmarshal(value, &read); err != nil {
			t.Fatal(err)
		}
		n = read.Seen
		for _, ends := range read.Ends {
			sum += ends
		}
	}
	return n, sum
}

// A worker that starts polls as well as one that has learned for long.
func TestAWorkerThatStartsKnowsWhatTheOthersLearned(t *testing.T) {
	const first = 300
	store, run := newBucket(), logNormal(20, 0.5)
	spendWith(t, store, 1000, 0, false, run)
	alone, shared := spend(t, first, 0, false, run), spendWith(t, store, first, 0, false, run)
	t.Logf("product %.3f, alone %.3f", shared.product(), alone.product())
	if got := shared.product(); got > 0.8 || got > alone.product() {
		t.Errorf("got %.2f of a fixed interval's product of calls and delay, want 0.80 or less, and less than %.2f", got, alone.product())
	}
}

// What several workers learn at the same time is added up, whoever writes first.
func TestWhatSeveralWorkersLearnIsAddedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newBucket()
		conflicts := 0
		store.before = func(string) error { // every other write is too late
			conflicts++
			if conflicts%2 == 1 {
				return task.ErrConflict
			}
			return nil
		}
		const workers, each = 3, 15
		var all sync.WaitGroup
		for range workers {
			all.Go(func() { learnAndShare(t, store, each) })
			all.Wait()
		}
		if n, sum := store.seen(t); n != workers*each || sum < 0.8*workers*each || sum > workers*each {
			t.Errorf("got %d ends, %.1f in sum, want %d, and a little less in sum", n, sum, workers*each)
		}
	})
}

// learnAndShare lets a worker see tasks end, and stops it.
func learnAndShare(t *testing.T, store poller.Shared, tasks int) {
	t.Helper()
	p := newPoller(func(context.Context, string) (task.Workflow, error) {
		return task.Workflow{Status: "COMPLETED"}, nil
	}, rate.Inf)
	ctx, stop := context.WithCancel(t.Context())
	var sharing sync.WaitGroup
	sharing.Go(func() { p.Share(ctx, store) })
	for range tasks {
		if _, err := p.Wait(t.Context(), fresh(time.Hour)); err != nil {
			t.Error(err)
		}
	}
	stop()
	sharing.Wait()
}

// Nothing depends on the store. What could not be shared is shared later.
func TestAWorkerLearnsWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newBucket()
		broken := true
		store.before = func(string) error {
			if broken {
				return errors.New("no answer")
			}
			return nil
		}
		p := newPoller(func(context.Context, string) (task.Workflow, error) {
			return task.Workflow{Status: "COMPLETED"}, nil
		}, rate.Inf)
		ctx, stop := context.WithCancel(t.Context())
		var sharing sync.WaitGroup
		sharing.Go(func() { p.Share(ctx, store) })
		for range 100 {
			if _, err := p.Wait(t.Context(), fresh(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		broken = false
		stop()
		sharing.Wait()
		if n, _ := store.seen(t); n != 100 {
			t.Errorf("got %d ends, want 100", n)
		}
	})
}

// Anything can write to the bucket. What no worker wrote is ignored, and stays.
func TestValuesThatNoWorkerWroteAreIgnored(t *testing.T) {
	for _, value := range []string{
		"", "null", "{}", "[]", `{"seen":1,"ends":[1],"ran":[1]}`, `{"seen":-1}`, `{"seen":1e99}`, "\xff", `{"ends":"a"}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			store := newBucket()
			learnAndShare(t, store, 1) // to learn the key
			for key := range store.values {
				store.values[key] = []byte(value)
			}
			learnAndShare(t, store, 30)
			for _, got := range store.values {
				if string(got) != value {
					t.Errorf("value %q: got %q, want it unchanged", value, got)
				}
			}
		})
	}
}

// NATS refuses a key with other characters (ADR-8), and a dot would begin another token.
func TestEveryKindHasAKey(t *testing.T) {
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
