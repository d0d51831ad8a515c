package operator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/capstan-worker/capstan/internal/task"
)

// Request is a request that is stored on the stream of requests: it waits, or its task is in progress.
type Request struct {
	task.Identity
	Seq    uint64    // in the stream of requests
	Stored time.Time // when the stream stored it

	msg *jetstream.RawStreamMsg // nil for those of a backlog, which may be many
}

// Delivery returns the request as a worker would get it. Only Queue.Requests returns requests that have all of it.
func (r Request) Delivery(stream string) task.Delivery {
	return task.Delivery{Stream: stream, Seq: r.Seq, Stored: r.Stored, Header: r.msg.Header, Data: r.msg.Data}
}

// queueReaders is how many messages of the queue are read at once. A work queue takes no second consumer, so each is a
// call of its own. The server drops all calls that wait if there are too many.
const queueReaders = 64

// Requests calls f for each request that is stored, in no order, but never twice at once. It returns the server's time.
func (q Queue) Requests(ctx context.Context, f func(Request)) (time.Time, error) {
	s, err := q.Stream(ctx, q.Config.Request.Stream)
	if err != nil {
		return time.Time{}, err
	}
	info := s.CachedInfo()
	first, last := info.State.FirstSeq, info.State.LastSeq
	if info.State.Msgs == 0 {
		return info.TimeStamp, nil
	}
	return info.TimeStamp, q.readQueue(ctx, s, first, last, nil, f)
}

// readQueue calls f for each request between two sequences, both included, in no order, but never twice at once. It leaves out
// those with a sequence in known.
func (q Queue) readQueue(ctx context.Context, s jetstream.Stream, first, last uint64, known map[uint64]bool, f func(Request)) error {
	group, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	part := (last-first)/queueReaders + 1
	for begin := first; begin <= last; begin += part {
		group.Go(func() error {
			return q.readPart(ctx, s, begin, min(begin+part-1, last), known, func(r Request) {
				mu.Lock()
				defer mu.Unlock()
				f(r)
			})
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("read the requests in stream %s: %w", q.Config.Request.Stream, q.Explain(err))
	}
	return nil
}

// readPart calls f for each request between two sequences, both included, in their order, except for the known ones. It jumps
// over gaps, of which a work queue has many.
func (q Queue) readPart(ctx context.Context, s jetstream.Stream, seq, last uint64, known map[uint64]bool, f func(Request)) error {
	for ; seq <= last; seq++ {
		if known[seq] {
			continue
		}
		msg, err := s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(q.Config.Request.Subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if seq = msg.Sequence; seq > last {
			return nil
		}
		if !known[seq] {
			f(q.readRequest(msg))
		}
	}
	return nil
}

// ErrNoRequest means that the request of a task is not stored. It is removed once the task has ended.
var ErrNoRequest = errors.New("the request is no longer stored")

// RequestAt reads the body of the request at a sequence. It returns ErrNoRequest if there is none of this task.
func (q Queue) RequestAt(ctx context.Context, id string, seq uint64) ([]byte, error) {
	msg, err := q.MessageAt(ctx, q.Config.Request.Stream, seq)
	if err != nil {
		return nil, fmt.Errorf("read request of task %s: %w", id, err)
	}
	if msg == nil || q.readRequest(msg).TaskID != id {
		return nil, ErrNoRequest
	}
	return msg.Data, nil
}

// readRequest reads which task a request is of.
func (q Queue) readRequest(msg *jetstream.RawStreamMsg) Request {
	r := Request{Seq: msg.Sequence, Stored: msg.Time, msg: msg}
	r.Identity = task.Identify(r.Delivery(q.Config.Request.Stream))
	return r
}
