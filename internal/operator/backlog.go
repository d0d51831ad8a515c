package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// mostRequests bounds how many queued requests are read. They are read one by one: a stream with work-queue retention
	// has no second consumer.
	mostRequests = 200_000

	// Between two chunks of so many, a reader can stop.
	requestChunk = 2_000
)

// line is the state of the stream of requests and of the consumer that all workers share.
type line struct {
	created   time.Time // the stream
	last      uint64    // sequence of the newest request
	delivered uint64    // of the newest one that a worker has taken
	queued    int       // requests that no worker has taken
	held      int       // requests that workers have taken, whose tasks have not ended
	most      int       // of these; 0: not known, for the consumer does not exist
	now       time.Time // by the server's clock
}

// line asks for the state of the stream of requests.
func (q Queue) line(ctx context.Context) (line, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := q.Config.Request.Stream
	stream, err := q.stream(asking, "stream", name, name)
	if err != nil {
		return line{}, err
	}
	info := stream.CachedInfo()
	l := line{created: info.Created, last: info.State.LastSeq, delivered: max(info.State.FirstSeq, 1) - 1, queued: number(info.State.Msgs), now: info.TimeStamp}
	if l.now.IsZero() { // an old server
		l.now = time.Now()
	}
	consumer, err := stream.Consumer(asking, q.Config.Consumer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound): // no worker has run yet
		return l, nil
	case err != nil:
		return line{}, fmt.Errorf("find consumer %s of stream %s: %w", q.Config.Consumer, name, q.explain(err))
	}
	c := consumer.CachedInfo()
	l.delivered, l.queued, l.held, l.most = c.Delivered.Stream, number(c.NumPending), c.NumAckPending, c.Config.MaxAckPending
	return l, nil
}

// place returns the place in line of the request with a sequence, from 1 on. Only requests that were deleted leave gaps among
// those that no worker has taken.
func (l line) place(seq uint64) int { return number(seq - l.delivered) }

// number returns a count as an int.
func number(n uint64) int { return int(min(n, math.MaxInt32)) }

// backlog is the requests that no worker has taken, as of the last read.
type backlog struct {
	q        Queue
	requests []queuedRequest // in the order in which workers will take them
	read     uint64          // sequence up to which they were read
	created  time.Time       // the stream that this sequence is of
}

// newBacklog returns the backlog of the queue. It reads nothing yet.
func (q Queue) newBacklog() *backlog { return &backlog{q: q} }

// refresh drops the requests that were taken, and reads those that were added. If there are more than mostRequests, it
// reads the first ones and returns false.
func (b *backlog) refresh(ctx context.Context, l line) (complete bool, err error) {
	if !b.created.Equal(l.created) || l.last < b.read {
		b.requests, b.read, b.created = nil, 0, l.created
	}
	taken, _ := slices.BinarySearchFunc(b.requests, l.delivered+1, func(r queuedRequest, seq uint64) int { return cmp.Compare(r.seq, seq) })
	b.requests = slices.Delete(b.requests, 0, taken)
	first := max(b.read, l.delivered) + 1
	for ; first <= l.last && len(b.requests) < mostRequests; first += requestChunk {
		chunk, err := b.q.requestsBetween(ctx, first, min(l.last, first+requestChunk-1))
		if err != nil {
			return false, err
		}
		b.requests = append(b.requests, chunk...)
		b.read = min(l.last, first+requestChunk-1)
	}
	return b.read >= l.last || l.delivered >= l.last, nil
}

// of returns the requests of a batch, or all if that is empty.
func (b *backlog) of(batch string) []queuedRequest {
	if batch == "" {
		return b.requests
	}
	var all []queuedRequest
	for _, r := range b.requests {
		if r.Batch == batch {
			all = append(all, r)
		}
	}
	return all
}

// requestsBetween reads the requests from one sequence to another, both included, in their order. Those that have ended
// meanwhile are left out.
func (q Queue) requestsBetween(ctx context.Context, first, last uint64) ([]queuedRequest, error) {
	name := q.Config.Request.Stream
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := q.stream(asking, "stream", name, name)
	if err != nil {
		return nil, err
	}
	var found []queuedRequest
	err = q.readQueue(ctx, stream, first, last, func(r queuedRequest) {
		r.msg = nil // there may be many
		found = append(found, r)
	})
	slices.SortFunc(found, func(a, b queuedRequest) int { return cmp.Compare(a.seq, b.seq) })
	return found, err
}
