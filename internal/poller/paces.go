package poller

import (
	"math"
	"strings"
	"sync"
)

// maxKinds bounds the kinds with a pace of their own, about 5 KiB each.
const maxKinds = 256

// paces holds the paces of the maxKinds kinds that were used last. The others are forgotten: their kinds
// start over with the growing interval.
type paces struct {
	cfg Config

	added chan struct{} // has a signal while there are kinds for takeAdded

	mu     sync.Mutex
	byKind map[string]*usedPace // guarded by mu
	uses   uint64               // guarded by mu
}

// usedPace is a pace, and when it was used.
type usedPace struct {
	pace
	used  uint64 // paces.uses when a wait of the kind last began; guarded by paces.mu
	isNew bool   // not returned by takeAdded yet; guarded by paces.mu
}

// of returns the pace of a kind for a new wait.
func (p *paces) of(kind string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.byKind[kind]
	if found == nil {
		if len(p.byKind) >= maxKinds {
			p.evict()
		}
		found = &usedPace{pace: pace{cfg: p.cfg}, isNew: true}
		p.byKind[strings.Clone(kind)] = found // the kind may be part of a large request
		select {
		case p.added <- struct{}{}:
		default:
		}
	}
	p.uses++
	found.used = p.uses
	return &found.pace
}

// evict removes the kind that was used least recently. Waits of that kind keep the pace that they have. The caller holds
// mu.
func (p *paces) evict() {
	var oldest string
	least := uint64(math.MaxUint64)
	for kind, pace := range p.byKind {
		if pace.used < least {
			oldest, least = kind, pace.used
		}
	}
	delete(p.byKind, oldest)
}

// takeAdded returns the kinds that were added since the last call.
func (p *paces) takeAdded() map[string]*pace {
	return p.take(func(u *usedPace) bool {
		isNew := u.isNew
		u.isNew = false
		return isNew
	})
}

// all returns all kinds.
func (p *paces) all() map[string]*pace { return p.take(func(*usedPace) bool { return true }) }

func (p *paces) take(want func(*usedPace) bool) map[string]*pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := map[string]*pace{}
	for kind, used := range p.byKind {
		if want(used) {
			found[kind] = &used.pace
		}
	}
	return found
}
