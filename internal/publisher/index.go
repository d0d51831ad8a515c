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

// eventIndex finds stored events by their message ids or their tasks' ids, including those that the stream has forgotten.
//
// After an outage or a takeover, thousands of callers may search at once. They are answered together: the caller that
// has the turn reads the headers of the stored events for all queries that wait then. Headers read for queries by time
// are kept in an index, so that the next search reads only newer ones. If the index exceeds its budget, it is dropped;
// each search then reads all headers and keeps none. An index that is not used for a minute is dropped, too.
type eventIndex struct {
	budget *memory.Budget
	call   *jet.Call
	open   func(ctx context.Context, from position) (jetstream.Consumer, func(), error)
	info   func(ctx context.Context) (*jetstream.StreamInfo, error)
	// A message id and a task id are hashed differently, so that a search for one never finds the other.
	messageSeed, taskSeed maphash.Seed
	// Drops the index after unusedFor.
	unused *time.Timer

	mu sync.Mutex
	// The queries that no caller has taken yet; guarded by mu.
	waiting []*query

	// Has capacity for one. The caller that filled it owns the fields below until it empties it again.
	turn chan struct{}
	// The latest event by the hash of a message id or of a task id. Nil means that there is no index.
	latest map[uint64]place
	// By a hash and the sequence of one of its events: the event before it with the same hash. Its sequence is smaller.
	earlier map[entry]place
	// The index has all events stored from `from` to `to`. `from` is a time, and `to` a sequence after the
	// first read.
	from, to position
	// When the stream of these events was created.
	created time.Time
	// Parts of the budget for the index, and how many entries they allow.
	reserved []*memory.Reservation
	capacity int
	// Set when the index did not fit. Until expire drops it, each search scans.
	exceedsBudget bool
	// The last refusal of a search, and when it came.
	refusal   error
	refusedAt time.Time
}

// entry is a hash and the sequence of one of its events.
type entry struct{ hash, seq uint64 }

// place is the sequence of an event, and when it was stored, in Unix nanoseconds.
type place struct {
	seq uint64
	at  int64
}

// unusedFor is how long an index is kept that is not used.
const unusedFor = time.Minute

// mostPerKey is how many events a search finds for one id: the newest. Few ids have more than one, but a producer may use
// one id for all its requests, and thousands of callers may wait for it at once.
const mostPerKey = 64

// position is a position in the results stream: after a sequence or, if since is set, from a time of the server's clock.
type position struct {
	seq   uint64
	since time.Time
}

// precedes reports whether an event is stored at or after the position.
func (p position) precedes(event place) bool {
	return event.seq > p.seq && (p.since.IsZero() || event.at >= p.since.UnixNano())
}

// query asks for the events with certain ids that are stored from a position on. Its caller reads
// the answer only while it has the turn.
type query struct {
	from     position
	keys     []uint64 // hashes of message ids and of task ids
	found    []uint64 // sequences; owned by the caller that has the turn, like the next two
	err      error
	answered bool
}

// newEventIndex returns an index of the events in a stream. It reads nothing until the first search.
func newEventIndex(js jetstream.JetStream, stream string, budget *memory.Budget, call *jet.Call) *eventIndex {
	x := &eventIndex{
		budget: budget, call: call, messageSeed: maphash.MakeSeed(), taskSeed: maphash.MakeSeed(), turn: make(chan struct{}, 1),
	}
	x.open = func(ctx context.Context, from position) (jetstream.Consumer, func(), error) {
		return openHeaders(ctx, js, stream, from)
	}
	x.info = func(ctx context.Context) (*jetstream.StreamInfo, error) { return streamInfo(ctx, js, stream) }
	x.unused = time.AfterFunc(unusedFor, x.expire)
	// There is nothing to drop before the first search.
	x.unused.Stop()
	return x
}

// messageKey returns the key of a message id, and taskKey that of a task id. They are hashes with random seeds, so that no
// publisher can choose ids that collide.
func (x *eventIndex) messageKey(id string) uint64 { return maphash.String(x.messageSeed, id) }
func (x *eventIndex) taskKey(id string) uint64    { return maphash.String(x.taskSeed, id) }

// find returns the sequences of stored messages from a position on that may have one of these keys, the newest first, and
// at most mostPerKey for each. Two ids may have the same key, so the caller must read the events to find out. The error is
// ctx's, that of a closed connection, or a *jetstream.APIError if NATS refuses the search.
func (x *eventIndex) find(ctx context.Context, from position, keys ...uint64) ([]uint64, error) {
	q := &query{from: from, keys: keys}
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
		x.answerAll(ctx, q)
	}
	if q.err != nil {
		return nil, fmt.Errorf("search for an event: %w", q.err)
	}
	// An event may have several of the keys.
	slices.Sort(q.found)
	slices.Reverse(q.found)
	return slices.Compact(q.found), nil
}

// withdraw removes a query that needs no answer any more. If another caller is answering it, it changes
// nothing.
func (x *eventIndex) withdraw(q *query) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.waiting = slices.DeleteFunc(x.waiting, func(other *query) bool { return other == q })
}

// answerAll answers all waiting queries; own is that of the caller.
func (x *eventIndex) answerAll(ctx context.Context, own *query) {
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
	// A search by time that fails says nothing about one by sequence that succeeded.
	x.settle(bySequence, x.scan(ctx, bySequence), own)
	x.settle(byTime, x.lookUp(ctx, byTime), own)
}

// settle ends a search for these queries. A refusal is the answer to all of them: if each asked again, NATS would refuse
// thousands of searches in a row. Any other error is own's, because it comes from the context or the connection of that
// caller, and the rest wait for the next caller's turn.
func (x *eventIndex) settle(queries []*query, err error, own *query) {
	var unanswered []*query
	for _, q := range queries {
		if q.answered = err == nil || jet.IsRefusal(err) || q == own; q.answered {
			q.err = err
		} else {
			unanswered = append(unanswered, q)
		}
	}
	x.mu.Lock()
	x.waiting = append(unanswered, x.waiting...)
	x.mu.Unlock()
}

// lookUp answers queries by time from the index, which it creates or brings up to date. If the index exceeds its budget,
// it scans.
func (x *eventIndex) lookUp(ctx context.Context, queries []*query) error {
	if len(queries) == 0 {
		return nil
	}
	if x.exceedsBudget {
		return x.scan(ctx, queries)
	}
	if err := x.renew(ctx, earliestOf(queries)); err != nil {
		return err
	}
	err := x.read(ctx, &x.to, x.add)
	if errors.Is(err, errExceedsBudget) {
		x.drop()
		x.exceedsBudget = true
		return x.scan(ctx, queries)
	}
	if err != nil {
		return err
	}
	for _, q := range queries {
		q.found = nil
		for _, key := range q.keys {
			q.found = x.appendPlaces(q.found, q.from, key)
		}
	}
	return nil
}

// scan answers queries by reading headers that it does not keep.
func (x *eventIndex) scan(ctx context.Context, queries []*query) error {
	if len(queries) == 0 {
		return nil
	}
	// What is found is kept by key, because several queries may ask for one.
	type wanted struct {
		by  *query
		key int
	}
	found, asking := make(map[*query][][]uint64, len(queries)), map[uint64][]wanted{}
	for _, q := range queries {
		found[q] = make([][]uint64, len(q.keys))
		for i, key := range q.keys {
			asking[key] = append(asking[key], wanted{q, i})
		}
	}
	start := earliestOf(queries)
	err := x.read(ctx, &start, func(h nats.Header, event place) error {
		for _, key := range x.keys(h) {
			for _, w := range asking[key] {
				if w.by.from.precedes(event) {
					newest := &found[w.by][w.key]
					*newest = append((*newest)[max(0, len(*newest)+1-mostPerKey):], event.seq)
				}
			}
		}
		return nil
	})
	for q, byKey := range found {
		q.found = slices.Concat(byKey...)
	}
	return err
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
