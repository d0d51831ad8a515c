package poller_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/task"
)

var errNoAnswer = errors.New("no answer")

// around stands between a worker and a store: it makes the call, or not, and returns what the worker gets to know.
type around func(ctx context.Context, key string, call func() error) error

func direct(ctx context.Context, _ string, call func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return call()
}

// fails is a call that does not happen, and that nobody answers.
func fails(context.Context, string, func() error) error { return errNoAnswer }

// blocks is a call that nobody answers in time.
func blocks(ctx context.Context, _ string, _ func() error) error {
	<-ctx.Done()
	return ctx.Err()
}

// bucket is a store that workers share.
type bucket struct {
	mu        sync.Mutex
	gets      around
	puts      around
	values    map[string][]byte
	revisions map[string]uint64
	last      uint64 // revision
}

func newBucket() *bucket {
	return &bucket{gets: direct, puts: direct, values: map[string][]byte{}, revisions: map[string]uint64{}}
}

func (b *bucket) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	b.mu.Lock()
	f := b.gets
	b.mu.Unlock()
	err = f(ctx, key, func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		value, revision = slices.Clone(b.values[key]), b.revisions[key]
		return nil
	})
	return value, revision, err
}

func (b *bucket) Put(ctx context.Context, key string, value []byte, revision uint64) error {
	b.mu.Lock()
	f := b.puts
	b.mu.Unlock()
	return f(ctx, key, func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.revisions[key] != revision {
			return task.ErrConflict
		}
		b.last++
		b.values[key], b.revisions[key] = value, b.last
		return nil
	})
}

// onGet and onPut set what stands between the workers and the store.
func (b *bucket) onGet(f around) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gets = f
}

func (b *bucket) onPut(f around) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.puts = f
}

// clear removes all keys.
func (b *bucket) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.values)
	clear(b.revisions)
}

// knows reports whether a kind has a value.
func (b *bucket) knows(kind string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.values[poller.PaceKey(kind)] != nil
}

// learned is a shared value.
type learned struct {
	Version int       `json:"version"`
	Seen    int       `json:"seen"`
	Ends    []float64 `json:"ends"`
	Ran     []float64 `json:"ran"`
}

// value returns what is shared of a kind.
func (b *bucket) value(t *testing.T, kind string) (l learned) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := json.Unmarshal(b.values[poller.PaceKey(kind)], &l); err != nil {
		t.Errorf("kind %q: %v", kind, err)
	}
	return l
}

// set shares a value of a kind.
func (b *bucket) set(t *testing.T, kind string, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	key := poller.PaceKey(kind)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last++
	b.values[key], b.revisions[key] = text, b.last
}

func sum(numbers []float64) (s float64) {
	for _, n := range numbers {
		s += n
	}
	return s
}

// sharing is a worker that shares what it learns.
type sharing struct {
	*poller.Poller
	t    *testing.T
	stop func() // as a drain does; it returns when Share has returned
}

// share starts a worker whose tasks of the kind "running" run on, and whose other tasks end before their first poll. It
// stops with the test at the latest.
func share(t *testing.T, store task.Shared) *sharing {
	t.Helper()
	return shareWith(t, store, func(ctx context.Context, id string) (task.Workflow, error) {
		if id == "running" {
			return running(ctx, id)
		}
		return task.Workflow{Status: "COMPLETED"}, nil
	})
}

// shareWith starts a worker with this API.
func shareWith(t *testing.T, store task.Shared, answers api) *sharing {
	t.Helper()
	p := newPoller(answers, rate.Inf)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { p.Share(ctx, store) })
	stop := func() { cancel(); group.Wait() }
	t.Cleanup(stop)
	return &sharing{Poller: p, t: t, stop: stop}
}

// see lets tasks of a kind run, one after the other. It returns how long the last one took.
func (s *sharing) see(tasks int, kind string) (took time.Duration) {
	s.t.Helper()
	for range tasks {
		began, w := time.Now(), fresh(time.Hour)
		w.Kind, w.WorkflowID = kind, kind
		if kind == "running" {
			w.Deadline = began.Add(time.Minute)
		}
		wait(s.t, s.Poller, w)
		took = time.Since(began)
	}
	return took
}

// learnAndShare lets a worker see tasks of the kind "k" end, and stops it.
func learnAndShare(t *testing.T, store task.Shared, tasks int) {
	t.Helper()
	s := share(t, store)
	s.see(tasks, "k")
	s.stop()
}

// wantGrowing checks the first poll of a task whose kind is not known well enough, and wantLearned that of one whose kind
// is: its tasks end before the first poll is due, but nobody can know how long before.
func wantGrowing(t *testing.T, first time.Duration) {
	t.Helper()
	wantBetween(t, "first poll before enough tasks have ended", first, interval, interval*11/10)
}

func wantLearned(t *testing.T, first time.Duration) {
	t.Helper()
	if first >= interval && first <= interval*11/10 || first > 12*time.Second {
		t.Errorf("got the first poll after %v, want one that depends on what was learned", first)
	}
}
