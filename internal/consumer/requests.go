package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/retry"
	"github.com/capstan-worker/capstan/internal/task"
)

// Requests is the stream that requests are pulled from, to look at.
type Requests struct {
	stream jetstream.Stream
	read   *retry.Call
}

// NewRequests returns the requests of a stream.
func NewRequests(stream jetstream.Stream, reg prometheus.Registerer, log zerolog.Logger) *Requests {
	return &Requests{stream: stream, read: retry.NewCall("read_request", retry.Quick, reg, log)}
}

// StoredAt returns when the stream stored the request with this sequence. The error is task.ErrNoRequest
// where it does not hold it any more.
func (r *Requests) StoredAt(ctx context.Context, seq uint64) (time.Time, error) {
	msg, err := retry.Until(ctx, r.read, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		msg, err := r.stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			err = retry.Final(task.ErrNoRequest)
		}
		return msg, err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read request %d: %w", seq, err)
	}
	return msg.Time.UTC(), nil
}
