package operator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Line is the state of the stream of requests and of the consumer that all workers share.
type Line struct {
	Queued int       // requests that no worker has taken; see Queue.Taken for those that one has
	Held   int       // requests that workers have taken, whose tasks have not ended
	Most   int       // of these; 0: not known, for the consumer does not exist
	Now    time.Time // by the server's clock

	created   time.Time // the stream
	first     uint64    // sequence of the oldest request
	last      uint64    // of the newest one
	delivered uint64    // of the newest one that a worker has taken
}

// Line asks for the state of the stream of requests.
func (q Queue) Line(ctx context.Context) (Line, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	name := q.Config.Request.Stream
	stream, err := q.Stream(asking, name)
	if err != nil {
		return Line{}, err
	}
	info := stream.CachedInfo()
	l := Line{created: info.Created, first: max(info.State.FirstSeq, 1), last: info.State.LastSeq, Queued: number(info.State.Msgs), Now: info.TimeStamp}
	l.delivered = l.first - 1
	if l.Now.IsZero() { // an old server
		l.Now = time.Now()
	}
	consumer, err := stream.Consumer(asking, q.Config.Consumer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound): // no worker has run yet
		return l, nil
	case err != nil:
		return Line{}, fmt.Errorf("find consumer %s of stream %s: %w", q.Config.Consumer, name, q.Explain(err))
	}
	c := consumer.CachedInfo()
	l.delivered, l.Queued, l.Held, l.Most = c.Delivered.Stream, number(c.NumPending), c.NumAckPending, c.Config.MaxAckPending
	return l, nil
}

// Place returns the place in line of the request with a sequence, from 1 on. Only requests that were deleted leave gaps among
// those that no worker has taken. One that a worker has taken comes first.
func (l Line) Place(seq uint64) int { return max(1, number(max(seq, l.delivered)-l.delivered)) }

// number returns a count as an int.
func number(n uint64) int { return int(min(n, math.MaxInt32)) }
