package admission_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/task"
)

// account is an API that accepts a quota of submissions in each window. A window begins with its first submission, or is
// one of the clock's.
type account struct {
	quota   int
	window  time.Duration
	aligned bool
	latency time.Duration                      // of the longest POST
	silent  func(post int, accepted bool) bool // the answer to a POST tells nothing; may be nil

	mu      sync.Mutex // guards everything below
	ends    time.Time  // of the window
	used    int        // submissions that were accepted in it
	posts   int
	refused int
	last    time.Time // when the last submission was accepted
}

// post submits and reports what the answer tells.
func (a *account) post(note func(task.Starts)) error {
	sent := time.Now()
	took := a.latency/5 + rand.N(a.latency*4/5+1)
	arrival := min(took, 50*time.Millisecond)
	<-time.After(arrival)
	told, ok, tells := a.count()
	<-time.After(took - arrival)
	if told.Sent = sent; tells {
		note(told)
	}
	if ok {
		return nil
	}
	return &task.SubmitError{Kind: task.NotNow, Reason: task.RateLimited, HTTPStatus: 429, RetryAfter: told.Reset, StartRate: true}
}

// count counts a POST, and reports whether it is accepted and whether the answer tells anything.
func (a *account) count() (told task.Starts, accepted, tells bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if !now.Before(a.ends) {
		a.ends, a.used = now.Add(a.window), 0
		if a.aligned {
			a.ends = now.Truncate(a.window).Add(a.window)
		}
	}
	reset := time.Duration(math.Ceil(a.ends.Sub(now).Seconds())) * time.Second
	if accepted = a.used < a.quota; accepted {
		a.used++
		a.last = now
	} else {
		a.refused++
	}
	a.posts++
	told = task.Starts{Remaining: a.quota - a.used, Reset: reset, Quota: a.quota, Window: a.window}
	return told, accepted, a.silent == nil || !a.silent(a.posts, accepted)
}

// store is the bucket that the workers share.
type store struct {
	mu       sync.Mutex
	value    []byte
	revision uint64
	calls    int
	err      error
}

var errStore = errors.New("no answer")

// fail makes all calls fail, or none.
func (s *store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *store) Get(context.Context, string) ([]byte, uint64, error) {
	<-time.After(rand.N(2 * time.Millisecond))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.value, s.revision, s.err
}

func (s *store) Put(_ context.Context, _ string, value []byte, revision uint64) error {
	<-time.After(rand.N(2 * time.Millisecond))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	switch {
	case s.err != nil:
		return s.err
	case revision != s.revision:
		return task.ErrConflict
	}
	s.value, s.revision = value, revision+1
	return nil
}

// worker is an Admission that submits to an account.
type worker struct {
	*admission.Admission
	api *account
}

// newFleet returns n workers that share a store, which may be nil, and know how many they are. The first one has learned
// what the API tells.
func newFleet(t *testing.T, api *account, n int, shared task.Shared) []worker {
	t.Helper()
	var all []worker
	for range n {
		all = append(all, worker{newAdmission(16, rate.Inf), api})
	}
	join := func() {
		for _, w := range all {
			w.Join(t.Context(), admission.Fleet{Store: shared, Workers: n})
		}
	}
	join()
	if err := all[0].run(t.Context()); err != nil {
		t.Fatal(err)
	}
	join()
	<-time.After(2*api.window + 10*time.Second)
	return all
}

// run submits a task until it is accepted.
func (w worker) run(ctx context.Context) error {
	for {
		release, err := w.Acquire(ctx, "", nil)
		if err != nil {
			return err
		}
		err = w.api.post(w.NoteStarts)
		release(err)
		if err == nil {
			return nil
		}
	}
}

// runAll submits tasks to the workers, or all of them to the first. It returns the refusals a task, and the time to the last
// start as a part of the least possible.
func runAll(t *testing.T, workers []worker, tasks int, one bool) (refused, took float64) {
	t.Helper()
	api, began := workers[0].api, time.Now()
	before := api.refused
	if one {
		workers = workers[:1]
	}
	var all sync.WaitGroup
	for i := range tasks {
		all.Go(func() {
			if err := workers[i%len(workers)].run(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	least := time.Duration((tasks-1)/api.quota) * api.window
	return float64(api.refused-before) / float64(tasks), api.last.Sub(began).Seconds() / least.Seconds()
}
