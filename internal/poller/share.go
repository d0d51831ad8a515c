package poller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/capstan-worker/capstan/internal/task"
)

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
// exchanged about once a minute. Nothing depends on it: what could not be exchanged is exchanged the next time.
func (p *Poller) Share(ctx context.Context, store task.Shared) {
	timer := time.NewTimer(untilExchange())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			p.exchange(context.WithoutCancel(ctx), store, lastShareTimeout, p.paces.all())
			return
		case <-p.paces.added:
			p.exchange(ctx, store, shareTimeout, p.paces.takeAdded())
		case <-timer.C:
			p.exchange(ctx, store, shareTimeout, p.paces.all())
			timer.Reset(untilExchange())
		}
	}
}

// untilExchange returns the time to the next exchange of all kinds. It varies, so that few workers meet.
func untilExchange() time.Duration { return shareInterval/2 + rand.N(shareInterval) }

// exchange exchanges these kinds, until the store fails: it would probably fail for the others as well, after as long a
// time. A kind that was not exchanged has its turn in the next exchange of all.
func (p *Poller) exchange(ctx context.Context, store task.Shared, timeout time.Duration, kinds map[string]*pace) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for kind, pace := range kinds {
		err := exchangeOne(ctx, store, paceKey(kind), pace)
		if err == nil {
			continue
		}
		p.log.Debug().Err(err).Str("kind", kind).Msg("learned run times not shared")
		if !errors.Is(err, task.ErrConflict) && !errors.Is(err, errForeign) {
			return
		}
	}
}

// exchangeOne takes over what the workers know of a kind, and adds what this worker has seen since the last exchange. The
// error is task.ErrConflict if other workers were faster each time, or errForeign if the value was left alone.
func exchangeOne(ctx context.Context, store task.Shared, key string, p *pace) error {
	for range shareTries {
		value, revision, err := store.Get(ctx, key)
		if err != nil {
			return err
		}
		var theirs learned
		if revision != 0 {
			if theirs, err = parseLearned(value); err != nil {
				return fmt.Errorf("read %s: %w", key, err)
			}
		}
		merged, isNews := p.merge(theirs, revision)
		if !isNews {
			return nil
		}
		if value, err = merged.format(); err == nil {
			err = store.Put(ctx, key, value, revision)
		}
		p.written(revision, err)
		if !errors.Is(err, task.ErrConflict) {
			return err
		}
	}
	return task.ErrConflict
}

// merge takes over what the workers know by the value of this revision, and returns that together with what this worker
// has seen since. The caller writes it over that revision if isNews, and passes the outcome to written.
//
// This worker knows more than the value if the key was lost, or if nobody has written since its own last try, which
// nobody answered. Then it writes everything that it knows: of all workers that do so, one succeeds.
func (p *pace) merge(theirs learned, revision uint64) (merged learned, isNews bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	knowsMore := p.shared != (learned{}) && (revision == 0 || revision == p.unsure)
	if !knowsMore && revision != 0 {
		theirs.fade(p.own.Seen) // which are newer
		p.shared, p.unsure = theirs, 0
	}
	p.learn()
	if !knowsMore && p.own == (learned{}) {
		return learned{}, false
	}
	p.sent, p.own = p.own, learned{}
	merged = p.shared
	merged.add(p.sent)
	return merged, true
}

// written records the outcome of writing what merge returned over a revision. After an error that is no conflict, it is
// unknown whether the value was written. Then what was sent is not added again: it counts as known to the workers, as if
// it were written, until the key has another revision. So no end counts twice. If it was not written, and another worker
// writes first, what was sent is lost.
func (p *pace) written(revision uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsure = 0
	switch {
	case errors.Is(err, task.ErrConflict):
		p.own.add(p.sent)
	case err != nil:
		p.unsure = revision
		p.shared.add(p.sent)
	default:
		p.shared.add(p.sent)
	}
	p.sent = learned{}
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
