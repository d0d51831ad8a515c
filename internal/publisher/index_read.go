package publisher

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
)

// headersPerFetch is how many headers are fetched at once.
const headersPerFetch = 500

// errHeadersLost says that headers were lost on their way. The next attempt continues after the last one received.
var errHeadersLost = errors.New("headers were lost on the way")

// read calls note with the headers and the place of each message, from pos to the last message that is stored when
// read begins. It advances pos. It retries until it is done, and returns early only with an error of note, or if NATS
// refuses the search: the account or the stream may have no consumer left.
func (x *eventIndex) read(ctx context.Context, pos *position, note func(h nats.Header, event place) error) error {
	_, err := jet.Retry(ctx, x.call, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, x.readOnce(ctx, pos, note)
	})
	return err
}

// readOnce reads until an answer is lost. It waits for each answer no longer than a quick call: all queries wait for this
// one search.
func (x *eventIndex) readOnce(ctx context.Context, pos *position, note func(h nats.Header, event place) error) error {
	if err := x.recentRefusal(); err != nil {
		return jet.Final(err)
	}
	consumer, closeConsumer, err := x.open(ctx, *pos)
	if err != nil {
		return x.noteRefusal(err)
	}
	defer closeConsumer()
	// Messages that are stored later belong to a later search.
	pending := consumer.CachedInfo().NumPending
	for read := uint64(0); read < pending; {
		messages, err := consumer.Fetch(int(min(headersPerFetch, pending-read)), jetstream.FetchMaxWait(jet.Quick))
		if err != nil {
			return err
		}
		before := read
		for msg := range messages.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			// The consumer numbers what it delivers, without gaps.
			if meta.Sequence.Consumer != read+1 {
				return errHeadersLost
			}
			if err := note(msg.Headers(), place{meta.Sequence.Stream, meta.Timestamp.UnixNano()}); err != nil {
				return jet.Final(err)
			}
			*pos = position{seq: meta.Sequence.Stream}
			read++
		}
		if err := messages.Error(); err != nil {
			return err
		}
		if read == before {
			return errHeadersLost
		}
	}
	return nil
}

// refusalMaxAge is for how long a refusal answers later searches as well. Their callers try again and again, and a
// refused search is over at once, so that without this bound NATS would be asked a thousand times a second.
const refusalMaxAge = time.Second

// recentRefusal returns the last refusal of a search, or nil if there is none that is young.
func (x *eventIndex) recentRefusal() error {
	if time.Since(x.refusedAt) > refusalMaxAge {
		return nil
	}
	return x.refusal
}

// noteRefusal returns the error of a call. A refusal is marked as final, and remembered for the next searches.
func (x *eventIndex) noteRefusal(err error) error {
	if !jet.IsRefusal(err) {
		return err
	}
	x.refusal, x.refusedAt = err, time.Now()
	return jet.Final(err)
}

// streamInfo asks the server about a stream.
func streamInfo(ctx context.Context, js jetstream.JetStream, stream string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, jet.Quick)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

// openHeaders creates a consumer of the headers from a position on, and returns how to delete it. If it cannot be deleted,
// the server removes it after jet.Slow.
func openHeaders(ctx context.Context, js jetstream.JetStream, stream string, from position) (jetstream.Consumer, func(), error) {
	cfg := jetstream.ConsumerConfig{
		// It need not outlive a restart of the server: read opens another one.
		HeadersOnly: true, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: jet.Slow,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from.seq + 1,
	}
	if !from.since.IsZero() {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &from.since
	}
	opening, cancel := context.WithTimeout(ctx, jet.Quick)
	defer cancel()
	consumer, err := js.CreateConsumer(opening, stream, cfg)
	if err != nil {
		return nil, nil, err
	}
	return consumer, func() {
		ctx, cancel := context.WithTimeout(ctx, jet.Quick)
		defer cancel()
		_ = js.DeleteConsumer(ctx, stream, consumer.CachedInfo().Name)
	}, nil
}
