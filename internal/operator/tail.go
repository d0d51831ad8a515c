package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// callTimeout bounds one call. A login without the permission for a call gets no answer.
	callTimeout = 5 * time.Second

	// idleWait is for how long a message may not come before the server is asked whether there is one: what was pending may
	// have been deleted meanwhile.
	idleWait = 2 * time.Second

	// maxSilent is after how many such waits the read fails. Until then it rides out an outage.
	maxSilent = 5

	// pullMessages is how many messages are on their way at once, at most.
	pullMessages = 20_000
)

// pullBytes is how much of a stream is asked for at once. It is more than a message can have.
const pullBytes = 32 << 20

// Tail reads a stream from a place on, and later from where it stopped. It takes nothing away from others.
type Tail struct {
	q       Queue
	stream  string
	cfg     jetstream.OrderedConsumerConfig // which messages, and where the first read begins
	last    uint64                          // sequence of the last message that was read; 0: none yet
	created time.Time                       // the stream that this sequence is of
}

// Tail returns a tail of a stream, which cfg begins. It reads nothing yet.
func (q Queue) Tail(stream string, cfg jetstream.OrderedConsumerConfig) *Tail {
	return &Tail{q: q, stream: stream, cfg: cfg}
}

// Read calls note with each message that is stored until now, oldest first. If the stream was recreated since the last
// read, it first calls restart, which may be nil, and begins with the oldest.
func (t *Tail) Read(ctx context.Context, restart func(), note func(jetstream.Msg) error) error {
	stream, err := t.open(ctx, restart)
	if err != nil {
		return err
	}
	cfg := t.cfg
	if t.last > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq, cfg.OptStartTime = jetstream.DeliverByStartSequencePolicy, t.last+1, nil
	}
	cfg.InactiveThreshold, cfg.MaxResetAttempts = callTimeout*2, 3
	consumer, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return t.failed(err)
	}
	defer t.drop(ctx, consumer)
	if consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	if err := t.readAll(ctx, consumer, note); err != nil {
		return t.failed(err)
	}
	return nil
}

// open finds the stream. If it is another one than at the last read, it begins anew.
func (t *Tail) open(ctx context.Context, restart func()) (jetstream.Stream, error) {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	stream, err := t.q.Stream(asking, t.stream)
	if err != nil {
		return nil, err
	}
	info := stream.CachedInfo()
	if !t.created.IsZero() && (!info.Created.Equal(t.created) || info.State.LastSeq < t.last) {
		t.last = 0
		if restart != nil {
			restart()
		}
	}
	t.created = info.Created
	return stream, nil
}

// readAll reads until nothing is pending.
func (t *Tail) readAll(ctx context.Context, consumer jetstream.Consumer, note func(jetstream.Msg) error) error {
	messages, err := consumer.Messages(jetstream.PullMaxMessagesWithBytesLimit(pullMessages, max(pullBytes, 2*int(t.q.Conn.MaxPayload()))))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		msg, err := next(ctx, consumer, messages)
		if err != nil || msg == nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if err := note(msg); err != nil {
			return err
		}
		if t.last = meta.Sequence.Stream; meta.NumPending == 0 {
			return nil
		}
	}
}

// next waits for the next message. It returns nil if there is none any more.
func next(ctx context.Context, consumer jetstream.Consumer, messages jetstream.MessagesContext) (msg jetstream.Msg, err error) {
	for range maxSilent {
		waiting, cancel := context.WithTimeout(ctx, idleWait)
		msg, err = messages.Next(jetstream.NextContext(waiting))
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return msg, err
		case isAtEnd(ctx, consumer):
			return nil, nil
		}
	}
	return nil, err
}

// isAtEnd reports whether there is nothing left for a consumer.
func isAtEnd(ctx context.Context, consumer jetstream.Consumer) bool {
	asking, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := consumer.Info(asking)
	return err == nil && info.NumPending == 0
}

// drop deletes a consumer that is no longer used. If that fails, the server does it soon.
func (t *Tail) drop(ctx context.Context, consumer jetstream.Consumer) {
	deleting, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	_ = t.q.JS.DeleteConsumer(deleting, t.stream, consumer.CachedInfo().Name)
}

// failed returns the error of a read.
func (t *Tail) failed(err error) error {
	return fmt.Errorf("read stream %s: %w", t.stream, t.q.Explain(err))
}
