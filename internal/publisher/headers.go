package publisher

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
)

// batch is how many headers are asked for at once.
const batch = 500

// errInterrupted says that messages were lost on the way. The next try goes on from there.
var errInterrupted = errors.New("headers were lost on the way")

// read calls note with the hash of each message's id and with its sequence, from at on to the last message that is stored
// when it begins. It moves at along. It tries until it is done, and returns early with an error of note's.
func (x *eventIndex) read(ctx context.Context, at *position, note func(hash, seq uint64) error) error {
	_, err := jet.Retry(ctx, x.call, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, x.readOnce(ctx, at, note)
	})
	return err
}

// readOnce reads on until an answer is lost. Each answer of the server has the time of a quick call: a lost one must
// not keep all events waiting.
func (x *eventIndex) readOnce(ctx context.Context, at *position, note func(hash, seq uint64) error) error {
	consumer, closeConsumer, err := x.open(ctx, *at)
	if err != nil {
		return err
	}
	defer closeConsumer()
	pending := consumer.CachedInfo().NumPending
	for read := uint64(0); read < pending; {
		messages, err := consumer.Fetch(int(min(batch, pending-read)), jetstream.FetchMaxWait(jet.Quick))
		if err != nil {
			return err
		}
		before := read
		for msg := range messages.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			if meta.Sequence.Consumer != read+1 {
				return errInterrupted
			}
			if err := note(x.hash(msg.Headers().Get(nats.MsgIdHdr)), meta.Sequence.Stream); err != nil {
				return jet.Final(err)
			}
			*at = position{seq: meta.Sequence.Stream}
			read++
		}
		if err := messages.Error(); err != nil {
			return err
		}
		if read == before {
			return errInterrupted
		}
	}
	return nil
}

// openHeaders makes a consumer of the headers from a position on, and returns how to delete it. One that cannot be
// deleted goes by itself, later.
func openHeaders(ctx context.Context, js jetstream.JetStream, stream string, from position) (jetstream.Consumer, func(), error) {
	cfg := jetstream.ConsumerConfig{
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
