package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// errIDInUse says that the message id is that of an event that answers another request.
var errIDInUse = errors.New("message id is used by another request's event")

// storeOnce stores an event under a message id, unless it is stored already; then it replaces ev by the stored event. It
// returns the sequence. Events are passed by their address, because a copy in each call would make the task's stack grow.
func (p *Publisher) storeOnce(ctx context.Context, d task.Delivery, ev *task.Event, id string, redelivered bool) (uint64, error) {
	// For a younger task the stream itself detects the duplicate.
	if redelivered && p.mayBeForgotten(ev) {
		seq, found, err := p.findStored(ctx, d, ev)
		if found || err != nil {
			return seq, err
		}
	}
	ack, err := p.storeFitting(ctx, p.calls.event, d, ev, eventHeader(d, ev, id))
	if err != nil {
		return 0, fmt.Errorf("publish event of task %s: %w", ev.TaskID, err)
	}
	if !ack.Duplicate {
		return ack.Sequence, nil
	}
	stored, err := p.isStored(ctx, ack, ev, redelivered)
	if err == nil && !stored {
		err = errIDInUse
	}
	if err != nil {
		return 0, fmt.Errorf("publish event of task %s: %w", ev.TaskID, err)
	}
	return ack.Sequence, nil
}

// storeFitting publishes an event. As long as it does not fit into a message, it is made smaller: its
// result goes to the object store, then its metadata is dropped, then its texts are shortened. ev becomes
// the event that is stored. If that is not enough, it returns the error of a message that is too large.
func (p *Publisher) storeFitting(ctx context.Context, call *jet.Call, d task.Delivery, ev *task.Event, header nats.Header) (eventAck, error) {
	shrink := []func() error{
		func() error { return p.offload(ctx, d, ev) },
		func() error { ev.DropMetadata(); return nil },
		func() error { ev.ShortenTexts(); dropTrace(header); return nil },
	}
	for {
		ack, err := p.encodeAndStore(ctx, call, ev, header)
		if !tooLarge(err) || len(shrink) == 0 {
			return ack, err
		}
		if err := shrink[0](); err != nil {
			return ack, err
		}
		shrink = shrink[1:]
	}
}

// encodeAndStore publishes an event. The error of one that is too large satisfies tooLarge.
func (p *Publisher) encodeAndStore(ctx context.Context, call *jet.Call, ev *task.Event, header nats.Header) (eventAck, error) {
	if ev.ExceedsBytes(p.maxMessage()) {
		// It is known without encoding what may be 32 MiB.
		return eventAck{}, nats.ErrMaxPayload
	}
	data, err := ev.JSON()
	if err != nil {
		return eventAck{}, fmt.Errorf("encode: %w", err)
	}
	return p.storeEvent(ctx, call, &nats.Msg{Subject: p.cfg.Subject, Header: header, Data: data})
}

// replayAs publishes a stored event again, under another message id. The event fitted into a message, but
// with the header of a replay it may not. Then it is made smaller like a new one.
func (p *Publisher) replayAs(ctx context.Context, d task.Delivery, stored *jetstream.RawStreamMsg, id string) (eventAck, error) {
	header := replayHeader(stored.Header, d, id)
	msg := &nats.Msg{Subject: p.cfg.Subject, Header: header, Data: task.Portable(stored.Data)}
	ack, err := p.storeEvent(ctx, p.calls.replay, msg)
	if !tooLarge(err) {
		return ack, err
	}
	var ev task.Event
	if err := json.Unmarshal(stored.Data, &ev); err != nil {
		return eventAck{}, fmt.Errorf("read event: %w", err)
	}
	return p.storeFitting(ctx, p.calls.replay, d, &ev, header)
}

// tooLarge reports whether a message exceeded the server's max_payload or the stream's max_msg_size. The
// client finds out about the first, and the stream about the second.
func tooLarge(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum)
}

// eventAck is the stream's answer to an event.
type eventAck struct {
	jet.PubAck
	mayBeResent bool // an earlier attempt of the same call may have reached the stream
}

// storeEvent publishes to the results stream until the stream answers.
//
// The stream detects copies of an event by their id. A subscriber without a consumer does not: it sees each message that
// reaches the server. So the stream is asked for the event before each further attempt: an attempt without an answer may
// have stored it, or, in the meantime, another worker. A search that NATS refuses for good, because the stream may have no
// further consumer, is left out; one that is refused because the cluster has no leader is tried again. If the stream refused it as
// full, it is sent again only when the stream has capacity.
func (p *Publisher) storeEvent(ctx context.Context, call *jet.Call, msg *nats.Msg) (eventAck, error) {
	if messageSize(msg) > p.maxMessage() {
		return eventAck{}, nats.ErrMaxPayload
	}
	start := position{seq: p.newest.Load()} // the event can only be stored after it
	var tried, sent, refused bool
	ack, err := jet.Retry(ctx, call, func(ctx context.Context) (jet.PubAck, error) {
		if refused {
			if err := p.capacity.check(ctx, messageSize(msg)); err != nil {
				return jet.PubAck{}, err
			}
		}
		if tried {
			found, err := p.findSent(ctx, start, msg.Header.Get(nats.MsgIdHdr), sent)
			if jet.IsRefusal(err) && !jet.IsUnavailable(err) { // the stream itself will detect a copy
				err = nil
			}
			if err != nil || len(found) > 0 {
				return duplicateOf(found), err
			}
		}
		tried = true
		ack, err := p.batcher.Publish(ctx, msg)
		// It stays true: a later refusal says nothing about this attempt.
		sent = sent || mayBeStored(err)
		refused = jet.IsRefusal(err)
		if tooLarge(err) {
			err = jet.Final(err)
		}
		return ack, err
	})
	// The sequence of a duplicate may be old, and searches would begin there.
	if err == nil && !ack.Duplicate {
		p.newest.Store(ack.Sequence)
	}
	return eventAck{PubAck: ack, mayBeResent: sent}, err
}

// storeTime is how long the server may take to store a message that it has received. After a link stalled, a message and
// the search for it arrive together, and the server may process them in any order.
const storeTime = 500 * time.Millisecond

// findSent searches for an event that may have been stored after a position. When the server answers, it has received
// everything that was sent before. If this worker may have sent it and the first search came too early for it, the
// second finds it.
func (p *Publisher) findSent(ctx context.Context, start position, id string, sent bool) ([]uint64, error) {
	found, err := p.index.find(ctx, start, p.index.messageKey(id))
	if err != nil || len(found) > 0 || !sent {
		return found, err
	}
	if err := timer.Sleep(ctx, storeTime, nil); err != nil {
		return nil, err
	}
	return p.index.find(ctx, start, p.index.messageKey(id))
}

// duplicateOf returns what the stream would answer to an event that it has under one of these sequences, the
// newest first: that it has the oldest. If there are none, that is the zero PubAck.
func duplicateOf(found []uint64) jet.PubAck {
	if len(found) == 0 {
		return jet.PubAck{}
	}
	return jet.PubAck{Sequence: found[len(found)-1], Duplicate: true}
}

// mayBeStored reports whether a message may have been stored although the call failed: it may have been sent, and the
// stream did not refuse it.
func mayBeStored(err error) bool {
	neverSent := errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrMaxPayload) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) // the server has neither the stream nor a subscriber
	return err != nil && !neverSent && !jet.IsRefusal(err)
}
