package publisher

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/memory"
)

// eventIndex finds events by their message ids, also longer ago than the stream remembers those.
//
// After an outage or a takeover thousands of callers may ask at once. They are answered together: the caller that has
// the turn reads the headers for all that wait at that time. An index keeps the headers that were read for questions
// by time, so that the next look reads only those that came since. An index that does not fit into its budget
// is given up: each look then reads the headers again and keeps none of them. An index that has not been used for a
// while is dropped.
type eventIndex struct {
	budget *memory.Budget
	call   *jet.Call
	open   func(ctx context.Context, from position) (jetstream.Consumer, func(), error)
	seed   maphash.Seed
	unused *time.Timer // runs out when the index has not been used for unusedFor

	mu      sync.Mutex
	waiting []*question // guarded by mu

	turn      chan struct{}     // has room for one; the caller that filled it owns the fields below
	seqs      map[uint64]uint64 // hash of a message id to its sequence; nil: there is no index
	from, to  position          // the index holds all that was stored since from, up to to
	reserved  []*memory.Reservation
	entries   int  // that are reserved
	doesntFit bool // until the index is dropped
}

// unusedFor is how long an index is kept that is not used.
const unusedFor = time.Minute

// position is a place in the results stream: behind a sequence or, where since is set, at a time of the server's.
type position struct {
	seq   uint64
	since time.Time
}

// question asks for the events with certain ids that are stored from a position on.
type question struct {
	from     position
	hashes   []uint64
	found    []uint64 // sequences; of the owner of the turn
	answered bool     // of the owner of the turn
}

func newEventIndex(js jetstream.JetStream, stream string, budget *memory.Budget, call *jet.Call) *eventIndex {
	x := &eventIndex{budget: budget, call: call, seed: maphash.MakeSeed(), turn: make(chan struct{}, 1)}
	x.open = func(ctx context.Context, from position) (jetstream.Consumer, func(), error) {
		return openHeaders(ctx, js, stream, from)
	}
	x.unused = time.AfterFunc(unusedFor, x.expire)
	x.unused.Stop()
	return x
}

// find returns the sequences of stored messages that may have one of these ids. Those before a position are not
// looked for.
func (x *eventIndex) find(ctx context.Context, from position, ids ...string) ([]uint64, error) {
	q := &question{from: from}
	for _, id := range ids {
		q.hashes = append(q.hashes, x.hash(id))
	}
	x.mu.Lock()
	x.waiting = append(x.waiting, q)
	x.mu.Unlock()
	select {
	case x.turn <- struct{}{}:
	case <-ctx.Done():
		x.withdraw(q)
		return nil, fmt.Errorf("look for an event: %w", ctx.Err())
	}
	defer func() {
		x.unused.Reset(unusedFor)
		<-x.turn
	}()
	if !q.answered { // else another caller has asked for this one, too
		if err := x.answerAll(ctx); err != nil {
			x.withdraw(q)
			return nil, fmt.Errorf("look for an event: %w", err)
		}
	}
	return q.found, nil
}

func (x *eventIndex) hash(id string) uint64 { return maphash.String(x.seed, id) }

func (x *eventIndex) withdraw(q *question) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.waiting = slices.DeleteFunc(x.waiting, func(other *question) bool { return other == q })
}

// answerAll answers all questions that wait. On an error they wait on, for the next one's turn.
func (x *eventIndex) answerAll(ctx context.Context) error {
	x.mu.Lock()
	asked := x.waiting
	x.waiting = nil
	x.mu.Unlock()
	var behind, since []*question
	for _, q := range asked {
		if q.from.since.IsZero() {
			behind = append(behind, q)
		} else {
			since = append(since, q)
		}
	}
	err := errors.Join(x.scan(ctx, behind), x.lookUp(ctx, since))
	for _, q := range asked {
		q.answered = err == nil
	}
	if err != nil {
		x.mu.Lock()
		x.waiting = append(asked, x.waiting...)
		x.mu.Unlock()
	}
	return err
}

// lookUp answers questions by the index, which it makes or brings up to date, or without it where it does not fit
// into memory.
func (x *eventIndex) lookUp(ctx context.Context, asked []*question) error {
	if len(asked) == 0 {
		return nil
	}
	if first := oldest(asked); x.seqs == nil || first.since.Before(x.from.since) {
		doesntFit := x.doesntFit
		x.drop()
		x.seqs, x.from, x.to, x.doesntFit = map[uint64]uint64{}, first, first, doesntFit
	}
	if x.doesntFit {
		return x.scan(ctx, asked)
	}
	err := x.read(ctx, &x.to, x.add)
	if errors.Is(err, errDoesntFit) {
		x.drop()
		x.doesntFit = true
		return x.scan(ctx, asked)
	}
	if err != nil {
		return err
	}
	for _, q := range asked {
		q.found = nil
		for _, hash := range q.hashes {
			if seq, ok := x.seqs[hash]; ok {
				q.found = append(q.found, seq)
			}
		}
	}
	return nil
}

// scan answers questions by reading headers of which it keeps nothing.
func (x *eventIndex) scan(ctx context.Context, asked []*question) error {
	if len(asked) == 0 {
		return nil
	}
	wanted := map[uint64][]*question{}
	for _, q := range asked {
		q.found = nil
		for _, hash := range q.hashes {
			wanted[hash] = append(wanted[hash], q)
		}
	}
	at := oldest(asked)
	return x.read(ctx, &at, func(hash, seq uint64) error {
		for _, q := range wanted[hash] {
			q.found = append(q.found, seq)
		}
		return nil
	})
}

// oldest returns the first position that is asked for. All are by time, or all by sequence.
func oldest(asked []*question) position {
	first := asked[0].from
	for _, q := range asked {
		if q.from.since.Before(first.since) || q.from.seq < first.seq {
			first = q.from
		}
	}
	return first
}

const (
	entrySize = 48   // bytes that an event takes in the index, its map's spare slots included
	entryStep = 4096 // entries that are reserved at once, at most
)

var errDoesntFit = errors.New("index of stored events does not fit into its memory")

// add puts an event into the index.
func (x *eventIndex) add(hash, seq uint64) error {
	if len(x.seqs) == x.entries {
		step := min(entryStep, int((x.budget.Size()-int64(x.entries)*entrySize)/entrySize))
		if step <= 0 {
			return errDoesntFit
		}
		part := x.budget.TryReserve(int64(step) * entrySize)
		if part == nil {
			return errDoesntFit
		}
		x.reserved = append(x.reserved, part)
		x.entries += step
	}
	x.seqs[hash] = seq
	return nil
}

// expire drops an index that is not in use.
func (x *eventIndex) expire() {
	select {
	case x.turn <- struct{}{}:
		x.drop()
		<-x.turn
	default: // in use, and then its time starts over
	}
}

// drop gives the memory of the index back.
func (x *eventIndex) drop() {
	for _, part := range x.reserved {
		part.Release()
	}
	x.seqs, x.reserved, x.entries, x.doesntFit = nil, nil, 0, false
}
