package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
)

// Requests is the stream that requests are pulled from. Its methods are safe for concurrent use.
type Requests struct {
	stream jetstream.Stream
	read   *jet.Call

	asking sync.Mutex // held while the server is asked: one answer serves all callers of Created

	mu      sync.Mutex
	created time.Time // the last answer; guarded by mu
	asOf    time.Time // when it held; guarded by mu
}

// createdMaxAge is how old an answer may be that Created returns without asking again.
const createdMaxAge = time.Second

// maxReads bounds the concurrent reads of requests, because the answer to one has the whole message, of up to 1 MiB.
const maxReads = 32

// NewRequests returns the requests of a stream.
func NewRequests(stream jetstream.Stream, reg prometheus.Registerer, log zerolog.Logger) *Requests {
	return &Requests{
		stream: stream, created: stream.CachedInfo().Created, asOf: time.Now(),
		read: jet.NewCall("read_request", jet.Quick, reg, log).AtMost(maxReads),
	}
}

// Created returns when the stream was created, by an answer that is no older than a second. The zero time means that
// the stream does not exist. If the server does not answer, it returns the last answer, for another second without
// asking again.
//
// The answer to a delivery names the stream and a sequence. A stream that was deleted and recreated counts from 1 again,
// so the ack of an old delivery would remove another request.
func (r *Requests) Created(ctx context.Context) time.Time {
	r.asking.Lock()
	defer r.asking.Unlock()
	if created, age := r.lastAnswer(); age < createdMaxAge {
		return created
	}
	ctx, cancel := context.WithTimeout(ctx, jet.Quick)
	defer cancel()
	asked := time.Now()
	info, err := r.stream.Info(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.created, r.asOf = info.Created, asked
	case errors.Is(err, jetstream.ErrStreamNotFound):
		r.created, r.asOf = time.Time{}, asked
	default:
		r.asOf = time.Now() // all who waited for this answer must not wait for one each
	}
	return r.created
}

func (r *Requests) lastAnswer() (created time.Time, age time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.created, time.Since(r.asOf)
}

// LastCreated returns the last answer of Created. It neither asks nor waits for a caller that does.
func (r *Requests) LastCreated() time.Time {
	created, _ := r.lastAnswer()
	return created
}

// Invalidate makes the next call of Created ask: a pull was refused, so the stream may have been recreated.
func (r *Requests) Invalidate() {
	r.asking.Lock() // an answer that is on its way is older than the refusal
	defer r.asking.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asOf = time.Time{}
}

// StoredAt returns when the stream stored the request with this sequence. The error is task.ErrNoRequest if the stream
// no longer has it.
func (r *Requests) StoredAt(ctx context.Context, seq uint64) (time.Time, error) {
	d, err := r.Read(ctx, seq)
	return d.Stored, err
}

// Read returns the request with this sequence as it is stored. The error is task.ErrNoRequest if the stream no longer has
// it.
func (r *Requests) Read(ctx context.Context, seq uint64) (task.Delivery, error) {
	msg, err := jet.Retry(ctx, r.read, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		msg, err := r.stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = jet.Final(task.ErrNoRequest)
		}
		return msg, err
	})
	if err != nil {
		return task.Delivery{}, fmt.Errorf("read request %d: %w", seq, err)
	}
	return task.Delivery{
		Stream: r.stream.CachedInfo().Config.Name, Seq: seq, Stored: msg.Time.UTC(), Header: msg.Header, Data: msg.Data,
	}, nil
}
