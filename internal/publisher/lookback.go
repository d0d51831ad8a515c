package publisher

import (
	"context"
	"errors"
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

// batch is how many headers are asked for at once.
const batch = 500

// errInterrupted says that a look broke off. The next one goes on from there.
var errInterrupted = errors.New("headers went missing on the way")

// extend reads the headers of what was stored since the last look. Each answer of the server has the time of
// a quick call: a lost one must not keep all events waiting. The caller holds mu.
func (l *lookback) extend(ctx context.Context) error {
	consumer, err := l.open(ctx)
	if err != nil {
		return err
	}
	info := consumer.CachedInfo()
	defer l.forget(ctx, info.Name)
	for read := uint64(0); read < info.NumPending; {
		messages, err := consumer.Fetch(int(min(batch, info.NumPending-read)), jetstream.FetchMaxWait(retry.Quick))
		if err != nil {
			return err
		}
		before := read
		for msg := range messages.Messages() {
			if err := l.note(msg, read+1); err != nil {
				return err
			}
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

// note adds a message to the index. It has to be the one that comes next. The caller holds mu.
func (l *lookback) note(msg jetstream.Msg, next uint64) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	if meta.Sequence.Consumer != next {
		return errInterrupted
	}
	l.seqs[maphash.String(l.seed, msg.Headers().Get(nats.MsgIdHdr))] = meta.Sequence.Stream
	l.last = meta.Sequence.Stream
	return nil
}

// open makes a consumer of the headers that were not read yet. The caller holds mu.
func (l *lookback) open(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, retry.Quick)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		HeadersOnly: true, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: retry.Slow,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: l.last + 1,
	}
	if l.last == 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, &l.from
	}
	return l.js.CreateConsumer(ctx, l.stream, cfg)
}

// forget deletes a consumer. One that stays goes by itself, later.
func (l *lookback) forget(ctx context.Context, consumer string) {
	ctx, cancel := context.WithTimeout(ctx, retry.Quick)
	defer cancel()
	_ = l.js.DeleteConsumer(ctx, l.stream, consumer)
}

// stored puts the event that an earlier delivery of m stored in the place of ev, if there is one.
func (p *Publisher) stored(ctx context.Context, m task.Message, ev *task.Event) (seq uint64, found bool, err error) {
	seqs, err := p.lookback.find(ctx, earliest(ev), ev.TaskID, asideID(ev.TaskID, m))
	if err != nil {
		return 0, false, err
	}
	for _, seq := range seqs {
		if p.earlier(ctx, seq, ev) {
			return seq, true, nil
		}
	}
	return 0, false, nil
}

// earliest is when an event of ev's task can have been stored at the earliest, by the server's clock.
func earliest(ev *task.Event) time.Time {
	if ev.SubmittedAt.IsZero() {
		return ev.RequestedAt
	}
	submitted := ev.SubmittedAt.Add(-maxClockSkew)
	if submitted.Before(ev.RequestedAt) {
		return ev.RequestedAt
	}
	return submitted
}
