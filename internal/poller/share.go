package poller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

// Shared is a store that all workers share.
type Shared interface {
	// Get returns the value of a key and its revision, or nil and the revision 0 if there is none.
	Get(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Put writes a value over the revision that it was derived from; 0: there is none. The error is task.ErrConflict
	// if another worker has written since.
	Put(ctx context.Context, key string, value []byte, revision uint64) error
}

const (
	// shareInterval is about the time between two exchanges of what the workers have learned.
	shareInterval = time.Minute

	// shareTimeout bounds an exchange of all kinds. The last one is part of a drain, so its bound is shorter.
	shareTimeout     = 10 * time.Second
	lastShareTimeout = time.Second

	// shareTries is how often an exchange is tried, if other workers are faster.
	shareTries = 3
)

// Share exchanges what is learned of run times with the other workers until ctx ends, and once more after that. A kind
// that is new here is exchanged at once, so that a worker that starts polls as well as those that run. All others are
// exchanged about once a minute. Nothing depends on it: what fails is tried again with the next exchange.
func (p *Poller) Share(ctx context.Context, store Shared) {
	for {
		timer := time.NewTimer(shareInterval/2 + rand.N(shareInterval))
		select {
		case <-ctx.Done():
			timer.Stop()
			p.exchange(context.WithoutCancel(ctx), store, lastShareTimeout, p.paces.all())
			return
		case <-p.paces.added:
			timer.Stop()
			p.exchange(ctx, store, shareTimeout, p.paces.takeAdded())
		case <-timer.C:
			p.exchange(ctx, store, shareTimeout, p.paces.all())
		}
	}
}

// exchange merges what is known of these kinds with what the other workers know.
func (p *Poller) exchange(ctx context.Context, store Shared, timeout time.Duration, kinds map[string]*pace) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for kind, pace := range kinds {
		if err := exchangeOne(ctx, store, paceKey(kind), pace); err != nil {
			p.log.Debug().Err(err).Str("kind", kind).Msg("learned run times not shared")
		}
	}
}

// exchangeOne takes over what the others know of a kind and, if this worker has seen ends since the last exchange, adds
// them. The error is task.ErrConflict if other workers were faster each time.
func exchangeOne(ctx context.Context, store Shared, key string, p *pace) (err error) {
	for range shareTries {
		value, revision, err := store.Get(ctx, key)
		if err != nil {
			return err
		}
		theirs, err := parseLearned(value)
		if err != nil {
			return fmt.Errorf("read %s: %w", key, err)
		}
		p.replaceShared(theirs)
		merged, taken := p.merge()
		if taken.Seen == 0 {
			return nil
		}
		if value, err = json.Marshal(merged.rounded()); err != nil {
			return err
		}
		if err = store.Put(ctx, key, value, revision); err == nil {
			return nil
		}
		p.putBack(taken)
		if !errors.Is(err, task.ErrConflict) {
			return err
		}
	}
	return task.ErrConflict
}

// paceKey returns the key of a kind. Characters that a key must not have are written as = and two hex digits.
func paceKey(kind string) string {
	var key strings.Builder
	key.WriteString("pace.")
	for _, c := range []byte(kind) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			key.WriteByte(c)
		default:
			fmt.Fprintf(&key, "=%02X", c)
		}
	}
	return key.String()
}

// parseLearned reads a shared value. No value means that nothing is known. A value that no worker wrote is an error, and
// is not overwritten.
func parseLearned(value []byte) (l learned, err error) {
	if value == nil {
		return l, nil
	}
	var read struct {
		Seen int       `json:"seen"`
		Ends []float64 `json:"ends"`
		Ran  []float64 `json:"ran"`
	}
	if err := json.Unmarshal(value, &read); err != nil {
		return l, err
	}
	if len(read.Ends) != ageBins || len(read.Ran) != ageBins || read.Seen < 0 {
		return l, fmt.Errorf("want %d ages (got %d and %d)", ageBins, len(read.Ends), len(read.Ran))
	}
	for bin := range ageBins {
		for _, n := range []float64{read.Ends[bin], read.Ran[bin]} {
			if n < 0 || n > mostLearned {
				return l, fmt.Errorf("want numbers between 0 and %v (got %v)", float64(mostLearned), n)
			}
		}
	}
	l.Seen = min(read.Seen, remembered)
	copy(l.Ends[:], read.Ends)
	copy(l.Ran[:], read.Ran)
	return l, nil
}

// mostLearned bounds each number of a shared value: more than a year of tasks that all run at once.
const mostLearned = 1e12

// rounded returns the same with four digits after the point, and with no more ends than count.
func (l *learned) rounded() learned {
	short := learned{Seen: min(l.Seen, remembered)}
	for bin := range ageBins {
		short.Ends[bin], short.Ran[bin] = round(l.Ends[bin]), round(l.Ran[bin])
	}
	return short
}

func round(n float64) float64 { return math.Round(n*1e4) / 1e4 }

// replaceShared replaces what all workers knew by what they know now. What this worker has learned since its last
// exchange is newer, so the shared part fades by that much.
func (p *pace) replaceShared(theirs learned) {
	p.mu.Lock()
	defer p.mu.Unlock()
	theirs.fade(p.fades)
	p.shared = theirs
	if p.shared.Seen+p.own.Seen >= enoughEnds {
		p.learn()
	}
}

// taken is what a worker has learned of its own between two exchanges.
type taken struct {
	learned
	fades int
}

// merge moves what this worker has learned to the shared part, and returns both.
func (p *pace) merge() (merged learned, own taken) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own = taken{p.own, p.fades}
	p.shared.add(p.own)
	p.own, p.fades = learned{}, 0
	return p.shared, own
}

// putBack takes back what merge moved: it was not shared. The next replaceShared removes it from the shared part.
func (p *pace) putBack(own taken) {
	p.mu.Lock()
	defer p.mu.Unlock()
	own.fade(p.fades)
	p.own.add(own.learned)
	p.fades += own.fades
}

func (l *learned) add(other learned) {
	l.Seen += other.Seen
	for bin := range ageBins {
		l.Ends[bin] += other.Ends[bin]
		l.Ran[bin] += other.Ran[bin]
	}
}
