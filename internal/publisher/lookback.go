package publisher

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/retry"
	"github.com/capstan-worker/capstan/internal/task"
)

// maxClockSkew is how far a worker's clock may be from the server's.
const maxClockSkew = 10 * time.Minute

// lookback finds events by their message ids, also longer ago than the stream remembers those. It reads the
// headers of what was stored since the oldest task in question once, and later only what came since: some
// 40 bytes of memory an event, in a worker that takes over tasks.
type lookback struct {
	js     jetstream.JetStream
	stream string
	look   *retry.Call

	mu   sync.Mutex
	seed maphash.Seed
	from time.Time         // the index holds all that was stored since; guarded by mu
	last uint64            // up to this sequence; guarded by mu
	seqs map[uint64]uint64 // hash of a message id to its sequence; nil before the first look; guarded by mu
	when time.Time         // when the latest look began; guarded by mu
}

func newLookback(js jetstream.JetStream, stream string, look *retry.Call) *lookback {
	return &lookback{js: js, stream: stream, look: look, seed: maphash.MakeSeed()}
}

// find returns the sequences of stored messages that may have one of these ids. Those stored before since
// are not looked for.
func (l *lookback) find(ctx context.Context, since time.Time, ids ...string) ([]uint64, error) {
	asked := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seqs == nil || since.Before(l.from) {
		l.seqs, l.from, l.last, l.when = map[uint64]uint64{}, since, 0, time.Time{}
	}
	if !l.when.After(asked) { // else somebody has looked while we waited: thousands may ask at once
		l.when = time.Now()
		_, err := retry.Until(ctx, l.look, func(ctx context.Context) (struct{}, error) {
			return struct{}{}, l.extend(ctx)
		})
		if err != nil {
			l.when = time.Time{}
			return nil, fmt.Errorf("look for an event: %w", err)
		}
	}
	var found []uint64
	for _, id := range ids {
		if seq, ok := l.seqs[maphash.String(l.seed, id)]; ok {
			found = append(found, seq)
		}
	}
	return found, nil
}

// extend reads the headers of what was stored since the last look. The caller holds mu.
func (l *lookback) extend(ctx context.Context) error {
	cfg := jetstream.OrderedConsumerConfig{
		HeadersOnly: true, InactiveThreshold: retry.Slow,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: l.last + 1,
	}
	if l.last == 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &l.from
	}
	consumer, err := l.js.OrderedConsumer(ctx, l.stream, cfg)
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	defer func() { _ = l.js.DeleteConsumer(ctx, l.stream, info.Name) }() // or it goes by itself, later
	pending := info.NumPending
	if pending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for pending > 0 {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		l.seqs[maphash.String(l.seed, msg.Headers().Get(nats.MsgIdHdr))] = meta.Sequence.Stream
		l.last, pending = meta.Sequence.Stream, meta.NumPending
	}
	return nil
}

// stored returns the event that an earlier delivery of m stored, if there is one.
func (p *Publisher) stored(ctx context.Context, m task.Message, ev task.Event) (task.Event, uint64, bool, error) {
	seqs, err := p.lookback.find(ctx, earliest(ev), ev.TaskID, asideID(ev.TaskID, m))
	if err != nil {
		return ev, 0, false, err
	}
	for _, seq := range seqs {
		if earlier, ok := p.earlier(ctx, seq, ev); ok {
			return earlier, seq, true, nil
		}
	}
	return ev, 0, false, nil
}

// earliest is when an event of ev's task can have been stored at the earliest, by the server's clock.
func earliest(ev task.Event) time.Time {
	if ev.SubmittedAt.IsZero() {
		return ev.RequestedAt
	}
	submitted := ev.SubmittedAt.Add(-maxClockSkew)
	if submitted.Before(ev.RequestedAt) {
		return ev.RequestedAt
	}
	return submitted
}
