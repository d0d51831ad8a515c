package operator

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"

	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// mostRequests bounds how many queued requests are read. They are read one by one: a stream with work-queue retention
	// has no second consumer.
	mostRequests = 200_000

	// Between two chunks of so many, a reader can stop.
	requestChunk = 2_000
)

// Backlog is the requests that no worker has taken, as of the last read.
type Backlog struct {
	q        Queue
	requests []Request // in the order in which workers will take them; what is in it never changes
	read     uint64    // sequence up to which they were read
	created  time.Time // the stream that this sequence is of
}

// Backlog returns the backlog of the queue. It reads nothing yet.
func (q Queue) Backlog() *Backlog { return &Backlog{q: q} }

// Refresh drops the requests that were taken, and reads those that were added. If there are more than mostRequests, it
// reads the first ones and returns false.
func (b *Backlog) Refresh(ctx context.Context, l Line) (complete bool, err error) {
	if !b.created.Equal(l.created) || l.last < b.read {
		b.requests, b.read, b.created = nil, 0, l.created
	}
	taken, _ := slices.BinarySearchFunc(b.requests, l.delivered+1, func(r Request, seq uint64) int { return cmp.Compare(r.Seq, seq) })
	b.requests = b.requests[taken:]
	first := max(b.read, l.delivered) + 1
	for ; first <= l.last && len(b.requests) < mostRequests; first += requestChunk {
		chunk, err := b.q.requestsBetween(ctx, first, min(l.last, first+requestChunk-1), nil)
		if err != nil {
			return false, err
		}
		b.requests = append(b.requests, chunk...)
		b.read = min(l.last, first+requestChunk-1)
	}
	return b.read >= l.last || l.delivered >= l.last, nil
}

// Of returns the requests of a batch, or all if that is empty. What it has returned does not change with a later Refresh.
func (b *Backlog) Of(batch string) []Request {
	if batch == "" {
		return b.requests
	}
	var all []Request
	for _, r := range b.requests {
		if r.Batch == batch {
			all = append(all, r)
		}
	}
	return all
}

// NewestQueued returns the newest requests that no worker has taken, at most mostRequests, in the order in which workers will
// take them. It returns false if there are more.
func (q Queue) NewestQueued(ctx context.Context, l Line) (newest []Request, complete bool, err error) {
	if l.last <= l.delivered {
		return nil, true, nil
	}
	complete = l.last-l.delivered <= mostRequests
	if !complete {
		l.delivered = l.last - mostRequests
	}
	b := q.Backlog()
	_, err = b.Refresh(ctx, l)
	return b.requests, complete, err
}

// Taken returns the requests that workers have taken and of whose tasks none of these records is: their workers have just begun
// with them, or died before they could. No other worker gets them before ACK_WAIT has passed. It reads nothing if fewer than
// least (1 or more) can be missing, by the number of tasks in progress; otherwise it makes up to one call for each of those.
func (q Queue) Taken(ctx context.Context, l Line, records iter.Seq[task.Record], least int) ([]Request, error) {
	missing := l.Held
	if missing < least { // there may be very many records, also of a queue that is idle
		return nil, nil
	}
	for rec := range records {
		if !rec.State.Ended() {
			missing--
		}
	}
	if missing < least {
		return nil, nil
	}
	seqs, ids := map[uint64]bool{}, map[string]bool{}
	for rec := range records {
		ids[rec.TaskID] = true
		if !rec.UpdatedAt.Before(l.created) { // else the sequence is of an earlier stream
			seqs[rec.RequestSeq] = true
		}
	}
	taken, err := q.requestsBetween(ctx, l.first, l.delivered, seqs)
	return slices.DeleteFunc(taken, func(r Request) bool { return ids[r.TaskID] }), err
}

// requestsBetween reads the requests from one sequence to another, both included, in their order, except for those with a
// sequence in known. Those that have ended meanwhile are left out.
func (q Queue) requestsBetween(ctx context.Context, first, last uint64, known map[uint64]bool) ([]Request, error) {
	name := q.Config.Request.Stream
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := q.Stream(asking, name)
	if err != nil {
		return nil, err
	}
	var found []Request
	err = q.readQueue(ctx, stream, first, last, known, func(r Request) {
		r.msg = nil // there may be many, and many share a batch and a host
		r.TaskID = strings.Clone(r.TaskID)
		r.Batch, r.Host = unique.Make(r.Batch).Value(), unique.Make(r.Host).Value()
		found = append(found, r)
	})
	slices.SortFunc(found, func(a, b Request) int { return cmp.Compare(a.Seq, b.Seq) })
	return found, err
}

// FindQueued searches the requests that no worker has taken for one of a task without a record, and then those that one has. It
// returns the request's place in line, or nil if there is none among the first ones.
func (q Queue) FindQueued(ctx context.Context, id string) (*Request, int, error) {
	l, err := q.Line(ctx)
	if err != nil {
		return nil, 0, err
	}
	first, last := l.delivered+1, min(l.last, l.delivered+mostRequests)
	if seq := q.sequenceIn(id); seq >= first && seq <= l.last { // only this request can have the id
		first, last = seq, seq
	}
	for ; first <= last; first += requestChunk {
		chunk, err := q.requestsBetween(ctx, first, min(last, first+requestChunk-1), nil)
		if err != nil {
			return nil, 0, err
		}
		for _, r := range chunk {
			if r.TaskID == id {
				return &r, l.Place(r.Seq), nil
			}
		}
	}
	taken, err := q.Taken(ctx, l, func(func(task.Record) bool) {}, 1)
	for _, r := range taken {
		if r.TaskID == id {
			return &r, l.Place(r.Seq), nil
		}
	}
	return nil, 0, err
}

// sequenceIn returns the sequence of the request whose default id this is, or 0.
func (q Queue) sequenceIn(id string) uint64 {
	number, ok := strings.CutPrefix(id, q.Config.Request.Stream+"-")
	if !ok {
		return 0
	}
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return 0
	}
	return seq
}
