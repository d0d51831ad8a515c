package admission

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

const (
	// startJitter bounds how long after the end of a window a worker waits, so that not all leave at once.
	startJitter = 100 * time.Millisecond

	// warnInterval is the least time between two warnings about values in the store. While the clock of one worker is
	// wrong, the others may overwrite what it writes again and again.
	warnInterval = time.Minute

	// checkInterval is about how often a worker looks whether submissions of other workers were not counted after all.
	checkInterval = 500 * time.Millisecond
)

// starts holds submissions back that the API would refuse because too many were started within a window of time. See
// the package's comment.
type starts struct {
	log      zerolog.Logger
	sampled  zerolog.Logger              // one line each warnInterval
	updating *semaphore.Weighted         // acquired by the one that updates the window
	retry    *backoff.ExponentialBackOff // between two failures of the store in a row; for the one that updates

	mu        sync.Mutex
	fleet     Fleet         // guarded by mu
	alone     time.Time     // guarded by mu; by this machine's clock; the store is not used before, because it failed
	window    window        // guarded by mu; as of the latest exchange with the store, with what was told since
	told      []task.Starts // guarded by mu; what answers have told since that exchange
	unclaimed int           // guarded by mu; answers that told something, minus releases that followed
	own       int           // guarded by mu; submissions of this worker that are under way in a window
	lot       lot           // guarded by mu
	heldUntil time.Time     // guarded by mu; the end of the window; zero unless a submission waits for a start
	changed   chan struct{} // guarded by mu; closed when a submission that waits must look again
}

// lot is when this worker may start one of the few submissions that remain.
type lot struct {
	number    uint64 // of the window
	remaining int
	at        time.Time
}

// start is the permission for one submission. The zero start is one while the API tells nothing.
type start struct {
	number uint64 // of the window
	shared bool   // the store has it
}

func newStarts(log zerolog.Logger) *starts {
	return &starts{
		log:      log,
		sampled:  log.Sample(&zerolog.BurstSampler{Burst: 1, Period: warnInterval}),
		updating: semaphore.NewWeighted(1),
		retry:    timer.Growing(firstAlone, lastAlone),
		changed:  make(chan struct{}),
	}
}

// note takes down what an answer tells. The other workers learn of it when its submission is released.
func (s *starts) note(told task.Starts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	told.Sent = told.Sent.Add(s.fleet.Clock.Skew())
	s.told = append(s.told, told)
	s.unclaimed++
	s.window = s.window.merge(told, s.fleet.Clock.Now())
	s.signal()
}

// acquire blocks until a submission may leave. It returns ctx's error if that ends first.
func (s *starts) acquire(ctx context.Context) (start, error) {
	defer s.hold(time.Time{})
	for {
		known, changed := s.state()
		if !known {
			return start{}, nil
		}
		var free bool
		w, shared := s.update(ctx, func(w window, shared bool) window {
			if free = s.mayLeave(w, shared); free && w.known() {
				return w.acquire(s.now())
			}
			return w
		})
		if free {
			return s.started(w, shared), nil
		}
		if err := timer.Sleep(ctx, s.wait(w, shared), changed); err != nil {
			return start{}, err
		}
	}
}

// now returns the time by the clock that the workers share.
func (s *starts) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fleet.Clock.Now()
}

// state reports whether the API tells anything, and returns a channel that is closed when that or a window changes.
func (s *starts) state() (known bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.window.known(), s.changed
}

// started counts a submission that leaves in a window.
func (s *starts) started(w window, shared bool) start {
	if !w.known() {
		return start{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own++
	s.lot = lot{}
	return start{number: w.Number, shared: shared}
}

// mayLeave reports whether one more submission may leave. If the workers do not know of each other's, each has a share
// of what remains. If less than one each remains, those go to workers by lot.
func (s *starts) mayLeave(w window, shared bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	workers := max(1, s.fleet.Workers)
	switch {
	case !w.known():
		return true
	case shared || w.isDoubtful():
		return w.free() > 0
	case w.Remaining >= workers:
		return s.own < w.Remaining/workers
	default:
		return s.own < w.Remaining && !s.fleet.Clock.Now().Before(s.drawn(w, workers).at)
	}
}

// drawn returns this worker's lot. With r submissions remaining for n workers, its time is before the end of the window
// with the probability r/n, and any moment until then is as likely. The caller holds mu.
func (s *starts) drawn(w window, workers int) lot {
	if s.lot.number != w.Number || s.lot.remaining != w.Remaining {
		now := s.fleet.Clock.Now()
		longest := w.End.Sub(now) * time.Duration(workers) / time.Duration(max(1, w.Remaining))
		s.lot = lot{number: w.Number, remaining: w.Remaining, at: now.Add(rand.N(max(1, longest)))}
	}
	return s.lot
}

// wait returns how long a submission that may not leave waits before it looks again.
func (s *starts) wait(w window, shared bool) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heldUntil = w.End
	now := s.fleet.Clock.Now()
	end := w.End.Add(rand.N(startJitter))
	next := end
	switch {
	case w.Remaining == 0 && !w.Assumed: // until the end
	case shared:
		next = now.Add(checkInterval/2 + rand.N(checkInterval))
	case s.own < w.Remaining:
		next = s.lot.at
	}
	if next.After(end) {
		next = end
	}
	return max(next.Sub(now), time.Millisecond)
}

// release ends a submission. Every start is released exactly once. accepted reports that the API has accepted the
// submission, or may have: it then counts even if its answer told nothing.
func (s *starts) release(ctx context.Context, a start, accepted bool) {
	s.mu.Lock()
	if s.unclaimed > 0 { // the answer, or another one that is not released yet, told how many remain
		s.unclaimed--
		accepted = false
	}
	if a != (start{}) {
		s.own--
	}
	nothing := !s.window.known()
	s.mu.Unlock()
	if nothing {
		return
	}
	s.update(ctx, func(w window, shared bool) window {
		if shared == a.shared {
			return w.release(a.number, accepted)
		}
		return w
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signal()
}

// hold sets until when submissions are held back.
func (s *starts) hold(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heldUntil = until
}

// held reports whether a submission waits for a start, and until when at the latest, by this machine's clock.
func (s *starts) held() (until time.Time, held bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heldUntil.Add(-s.fleet.Clock.Skew()), s.heldUntil.After(s.fleet.Clock.Now())
}

// shared returns a time of this machine's clock by the clock that the workers share.
func (s *starts) shared(t time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fleet.Clock.At(t)
}

// free returns how many submissions may leave, as far as this worker knows, and whether the API tells.
func (s *starts) free() (free int, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.window.current(s.fleet.Clock.Now())
	return max(0, w.free()), w.known()
}

// signal wakes the submission that waits. The caller holds mu.
func (s *starts) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}
