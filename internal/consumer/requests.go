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

// Requests is the stream that requests are pulled from, to look at.
type Requests struct {
	stream jetstream.Stream
	read   *jet.Call

	mu      sync.Mutex
	created time.Time // as of the last answer; guarded by mu
	looked  time.Time // when that was asked for; guarded by mu
}

// createdFor is how long a look at when the stream was created is believed.
const createdFor = time.Second

// NewRequests returns the requests of a stream.
func NewRequests(stream jetstream.Stream, reg prometheus.Registerer, log zerolog.Logger) *Requests {
	return &Requests{
		stream: stream, created: stream.CachedInfo().Created, looked: time.Now(),
		read: jet.NewCall("read_request", jet.Quick, reg, log),
	}
}

// Created returns when the stream was created, as of a look that is no older than a second. The zero time means that
// there is none. A look without an answer says nothing: the last answer counts.
//
// An answer to a delivery names the stream and a sequence in it. A stream that was deleted and recreated counts from 1
// again, so that an old delivery's ack would remove another request.
func (r *Requests) Created(ctx context.Context) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < createdFor {
		return r.created
	}
	r.looked = time.Now()
	ctx, cancel := context.WithTimeout(ctx, jet.Quick)
	defer cancel()
	info, err := r.stream.Info(ctx)
	switch {
	case err == nil:
		r.created = info.Created
	case errors.Is(err, jetstream.ErrStreamNotFound):
		r.created = time.Time{}
	}
	return r.created
}

// Known returns what Created returned last, without a look.
func (r *Requests) Known() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.created
}

// Doubt makes the next call of Created look: a pull was refused, and the stream may have been recreated.
func (r *Requests) Doubt() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked = time.Time{}
}

// StoredAt returns when the stream stored the request with this sequence. The error is task.ErrNoRequest
// where it does not hold it any more.
func (r *Requests) StoredAt(ctx context.Context, seq uint64) (time.Time, error) {
	msg, err := jet.Retry(ctx, r.read, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		msg, err := r.stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = jet.Final(task.ErrNoRequest)
		}
		return msg, err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read request %d: %w", seq, err)
	}
	return msg.Time.UTC(), nil
}
