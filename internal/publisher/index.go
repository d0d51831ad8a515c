package publisher

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/memory"
)

// eventIndex finds stored events by their message ids, including those that the stream has forgotten.
//
// After an outage or a takeover, thousands of callers may search at once. They are answered together: the caller that
// has the turn reads the headers of the stored events for all queries that wait then. Headers read for queries by time
// are kept in an index, so that the next search reads only newer ones. If the index exceeds its budget, it is dropped;
// each search then reads all headers and keeps none. An index that is not used for a minute is dropped, too.
type eventIndex struct {
	budget *memory.Budget
	call   *jet.Call
	open   func(ctx context.Context, from position) (jetstream.Consumer, func(), error)
	seed   maphash.Seed
	// Drops the index after unusedFor.
	unused *time.Timer

	mu sync.Mutex
	// The queries that no caller has taken yet; guarded by mu.
	waiting []*query

	// Has capacity for one. The caller that filled it owns the fields below until it empties it again.
	turn chan struct{}
	// The latest sequence by the hash of a message id or of a task id. Nil means that there is no index.
	seqs map[uint64]uint64
	// By a hash and one of its sequences: the sequence before it with the same hash.
	earlier map[entry]uint64
	// The index has all events stored from `from` to `to`. `from` is a time, and `to` a sequence after the
	// first read.
	from, to position
	// Parts of the budget for the index, and how many entries they allow.
	reserved []*memory.Reservation
	capacity int
	// Set when the index did not fit. Until expire drops it, each search scans.
	exceedsBudget bool
}

// entry is a hash and the sequence of one of its events.
type entry struct{ hash, seq uint64 }

// unusedFor is how long an index is kept that is not used.
const unusedFor = time.Minute

// position is a position in the results stream: after a sequence or, if since is set, from a time of the server's clock.
type position struct {
	seq   uint64
	since time.Time
}

// query asks for the events with certain ids that are stored from a position on. Its caller reads
// the answer only while it has the turn.
type query struct {
	from     position
	hashes   []uint64 // of the message ids and task ids
	found    []uint64 // sequences; owned by the caller that has the turn
	answered bool     // owned by the caller that has the turn
}

// newEventIndex returns an index of the events in a stream. It reads nothing until the first search.
func newEventIndex(js jetstream.JetStream, stream string, budget *memory.Budget, call *jet.Call) *eventIndex {
	x := &eventIndex{budget: budget, call: call, seed: maphash.MakeSeed(), turn: make(chan struct{}, 1)}
	x.open = func(ctx context.Context, from position) (jetstream.Consumer, func(), error) {
		return openHeaders(ctx, js, stream, from)
	}
	x.unused = time.AfterFunc(unusedFor, x.expire)
	// There is nothing to drop before the first search.
	x.unused.Stop()
	return x
}

// find returns the sequences of stored messages from a position on that may have one of these message ids. By time it
// also finds the events of tasks with one of these ids, whatever their message ids, but not their replays. Two ids may
// have the same hash, so the caller must read the events to find out. The error is ctx's, that of a closed connection, or
// a *jetstream.APIError if NATS refuses the search.
func (x *eventIndex) find(ctx context.Context, from position, ids ...string) ([]uint64, error) {
	q := &query{from: from}
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
		return nil, fmt.Errorf("search for an event: %w", ctx.Err())
	}
	defer func() {
		x.unused.Reset(unusedFor)
		<-x.turn
	}()
	if !q.answered { // else another caller has answered it
		if err := x.answerAll(ctx); err != nil {
			x.withdraw(q)
			return nil, fmt.Errorf("search for an event: %w", err)
		}
	}
	return q.found, nil
}

// hash returns the hash of a message id. Its seed is random, so that no publisher can choose ids that
// collide.
func (x *eventIndex) hash(id string) uint64 { return maphash.String(x.seed, id) }

// withdraw removes a query that needs no answer any more. If another caller is answering it, it changes
// nothing.
func (x *eventIndex) withdraw(q *query) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.waiting = slices.DeleteFunc(x.waiting, func(other *query) bool { return other == q })
}

// answerAll answers all waiting queries. After an error they wait for the next caller's turn.
func (x *eventIndex) answerAll(ctx context.Context) error {
	x.mu.Lock()
	queries := x.waiting
	x.waiting = nil
	x.mu.Unlock()
	var bySequence, byTime []*query
	for _, q := range queries {
		// A query by sequence is for a message that was just sent. Few headers follow its position, so it
		// needs no index.
		if q.from.since.IsZero() {
			bySequence = append(bySequence, q)
		} else {
			byTime = append(byTime, q)
		}
	}
	err := errors.Join(x.scan(ctx, bySequence, x.idKey), x.lookUp(ctx, byTime))
	for _, q := range queries {
		q.answered = err == nil
	}
	if err != nil {
		x.mu.Lock()
		x.waiting = append(queries, x.waiting...)
		x.mu.Unlock()
	}
	return err
}

// lookUp answers queries by time from the index, which it creates or brings up to date. If the index exceeds its budget,
// it scans.
func (x *eventIndex) lookUp(ctx context.Context, queries []*query) error {
	if len(queries) == 0 {
		return nil
	}
	// An index that does not go back far enough is built again, from an earlier time.
	if first := earliestOf(queries); x.seqs == nil || first.since.Before(x.from.since) {
		exceedsBudget := x.exceedsBudget
		x.drop()
		x.seqs, x.earlier, x.from, x.to, x.exceedsBudget = map[uint64]uint64{}, map[entry]uint64{}, first, first, exceedsBudget
	}
	if x.exceedsBudget {
		return x.scan(ctx, queries, x.keys)
	}
	err := x.read(ctx, &x.to, x.add)
	if errors.Is(err, errExceedsBudget) {
		x.drop()
		x.exceedsBudget = true
		return x.scan(ctx, queries, x.keys)
	}
	if err != nil {
		return err
	}
	for _, q := range queries {
		q.found = nil
		for _, hash := range q.hashes {
			for seq, ok := x.seqs[hash]; ok; seq, ok = x.earlier[entry{hash, seq}] {
				q.found = append(q.found, seq)
			}
		}
	}
	return nil
}

// keys returns the hashes under which an event is found by time: of its message id and, unless it is a replay, of its
// task's id. The two are the same for most events.
func (x *eventIndex) keys(h nats.Header) []uint64 {
	id, taskID := h.Get(nats.MsgIdHdr), h.Get(subjectHeader)
	if taskID == "" || taskID == id || h.Get(ReplayHeader) != "" {
		return []uint64{x.hash(id)}
	}
	return []uint64{x.hash(id), x.hash(taskID)}
}

// idKey returns the hash under which an event is found by sequence: of its message id.
func (x *eventIndex) idKey(h nats.Header) []uint64 { return []uint64{x.hash(h.Get(nats.MsgIdHdr))} }

// scan answers queries by reading headers that it does not keep. keys are the hashes under which an event is found.
func (x *eventIndex) scan(ctx context.Context, queries []*query, keys func(nats.Header) []uint64) error {
	if len(queries) == 0 {
		return nil
	}
	wanted := map[uint64][]*query{}
	for _, q := range queries {
		q.found = nil
		for _, hash := range q.hashes {
			wanted[hash] = append(wanted[hash], q)
		}
	}
	start := earliestOf(queries)
	return x.read(ctx, &start, func(h nats.Header, seq uint64) error {
		for _, hash := range keys(h) {
			for _, q := range wanted[hash] {
				q.found = append(q.found, seq)
			}
		}
		return nil
	})
}

// earliestOf returns the earliest position of queries that are all by time, or all by sequence.
func earliestOf(queries []*query) position {
	first := queries[0].from
	for _, q := range queries {
		if q.from.since.Before(first.since) || q.from.seq < first.seq {
			first = q.from
		}
	}
	return first
}

const (
	// The bytes that an entry of either map of the index takes, including unused space.
	entrySize = 64
	// The most entries that are reserved at once.
	entryStep = 4096
)

// errExceedsBudget means that the budget has no memory for another entry.
var errExceedsBudget = errors.New("index of stored events exceeds its budget")

// add adds an event to the index, or returns errExceedsBudget.
func (x *eventIndex) add(h nats.Header, seq uint64) error {
	for _, hash := range x.keys(h) {
		if err := x.reserveEntry(); err != nil {
			return err
		}
		if before, ok := x.seqs[hash]; ok {
			x.earlier[entry{hash, seq}] = before
		}
		x.seqs[hash] = seq
	}
	return nil
}

// reserveEntry makes sure that there is memory for one more entry. It reserves memory for many entries at once, but never
// more than the budget has left.
func (x *eventIndex) reserveEntry() error {
	if len(x.seqs)+len(x.earlier) < x.capacity {
		return nil
	}
	size := min(entryStep, int((x.budget.Size()-int64(x.capacity)*entrySize)/entrySize))
	if size <= 0 {
		return errExceedsBudget
	}
	part := x.budget.TryReserve(int64(size) * entrySize)
	if part == nil {
		return errExceedsBudget
	}
	x.reserved = append(x.reserved, part)
	x.capacity += size
	return nil
}

// expire drops the index, unless it is in use, which starts its time over.
func (x *eventIndex) expire() {
	select {
	case x.turn <- struct{}{}:
		x.drop()
		<-x.turn
	default:
	}
}

// drop removes the index and releases its memory. The caller has the turn.
func (x *eventIndex) drop() {
	for _, part := range x.reserved {
		part.Release()
	}
	x.seqs, x.earlier, x.reserved, x.capacity, x.exceedsBudget = nil, nil, nil, 0, false
}
