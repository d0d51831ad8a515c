package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

const (
	// startsKey is the key of the window in the store.
	startsKey = "starts"

	// shareTimeout bounds an exchange with the store.
	shareTimeout = time.Second

	// firstAlone is how long a worker goes on alone after an exchange failed. After each failure in a row it is twice as
	// long, up to lastAlone: while a worker is alone, it and the others waste starts.
	firstAlone = time.Second
	lastAlone  = 30 * time.Second

	// conflictWait is about how long a worker waits after another one was faster.
	conflictWait = 5 * time.Millisecond
)

// Fleet is what a worker knows of the others. The zero Fleet is that of a worker that is alone.
type Fleet struct {
	Store   task.Shared       // may be nil
	Workers int               // how many workers run; less than 1 counts as 1
	Clock   *servertime.Clock // that the workers share; nil: this machine's
}

// Join makes the worker share the submissions that the API accepts with the other workers, and reads what they know. Call
// it again when the fleet changes, and now and then: a worker that has not submitted yet learns that the API tells how many
// it accepts. Nothing depends on the store: while it fails, the worker takes its share.
func (a *Admission) Join(ctx context.Context, fleet Fleet) {
	a.starts.join(fleet)
	a.starts.update(ctx, func(w window, _ bool) window { return w })
}

func (s *starts) join(fleet Fleet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fleet = fleet
	s.signal()
}

// errAlone is why the store was not used.
var errAlone = errors.New("the worker is alone")

// update changes the window: in the store if that works, or else only here. change can be called several times, of which
// the last call counts, or not at all if ctx ends. shared reports that it was in the store.
func (s *starts) update(ctx context.Context, change func(w window, shared bool) window) (w window, shared bool) {
	if s.updating.Acquire(ctx, 1) != nil {
		return window{}, false
	}
	defer s.updating.Release(1)
	w, err := s.exchange(ctx, change)
	if err == nil {
		return w, true
	}
	s.mu.Lock()
	now := s.fleet.Clock.Now()
	if !errors.Is(err, errAlone) && ctx.Err() == nil {
		s.alone = time.Now().Add(s.retry.NextBackOff())
		s.log.Debug().Err(err).Msg("starts not shared")
	}
	w, told := s.window.current(now), len(s.told)
	s.mu.Unlock()
	w = change(w, false)
	s.learn(w, told)
	return w, false
}

// exchange changes the window in the store, after it has added what answers have told this worker.
func (s *starts) exchange(ctx context.Context, change func(w window, shared bool) window) (window, error) {
	store, err := s.store()
	if err != nil {
		return window{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, shareTimeout)
	defer cancel()
	for try := 1; ; try++ {
		w, err := s.exchangeOnce(ctx, store, change)
		if !errors.Is(err, task.ErrConflict) {
			return w, err
		}
		if err := timer.Sleep(ctx, rand.N(time.Duration(try)*conflictWait), nil); err != nil {
			return window{}, err
		}
	}
}

// exchangeOnce makes one attempt. The error is task.ErrConflict if another worker was faster. A value that no worker can
// have written is overwritten.
func (s *starts) exchangeOnce(ctx context.Context, store task.Shared, change func(w window, shared bool) window) (window, error) {
	value, revision, err := store.Get(ctx, startsKey)
	if err != nil {
		return window{}, err
	}
	theirs, invalid := parseWindow(value, s.now())
	merged, told := s.merged(theirs, value != nil && invalid == nil)
	next := change(merged, true)
	if next != theirs || invalid != nil {
		if value, err = json.Marshal(next); err != nil {
			return window{}, fmt.Errorf("write the window of starts: %w", err)
		}
		if err := store.Put(ctx, startsKey, value, revision); err != nil {
			return window{}, err
		}
	}
	if invalid != nil {
		s.sampled.Warn().Err(invalid).Msg("shared starts overwritten")
	}
	s.learn(next, told)
	s.retry.Reset() // only the one that updates the window uses it
	return next, nil
}

// learn sets the window, which contains the first so many answers, and adds those that came since.
func (s *starts) learn(w window, told int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = s.told[told:]
	s.window = w
	for _, t := range s.told {
		s.window = s.window.merge(t, s.fleet.Clock.Now())
	}
}

// store returns the store, or errAlone if it is not to be used now.
func (s *starts) store() (task.Shared, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fleet.Store == nil || time.Now().Before(s.alone) {
		return nil, errAlone
	}
	return s.fleet.Store, nil
}

// merged returns the others' window with what answers have told this worker, and how many answers. If no worker has
// written one, it is this worker's.
func (s *starts) merged(theirs window, exists bool) (w window, told int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.fleet.Clock.Now()
	if !exists {
		return s.window.current(now), len(s.told)
	}
	w = theirs
	for _, t := range s.told {
		w = w.merge(t, now)
	}
	return w.current(now), len(s.told)
}

// parseWindow reads a value of the store. No value is the zero window, and one that no worker can have written an error.
func parseWindow(value []byte, now time.Time) (w window, err error) {
	if value == nil {
		return window{}, nil
	}
	if err := json.Unmarshal(value, &w); err != nil {
		return window{}, fmt.Errorf("read the window of starts: %w", err)
	}
	if err := w.validate(now); err != nil {
		return window{}, fmt.Errorf("read the window of starts: %w", err)
	}
	return w, nil
}
