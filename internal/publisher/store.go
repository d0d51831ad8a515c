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
)

// errOthers says that the message id is used by an event that answers another request.
var errOthers = errors.New("message id is used by another request's event")

// storeOnce stores an event under a message id unless it is stored, puts the stored one in its place, and returns that
// one's sequence. An event is handed on by its address: copies of it in each call would make a task's stack grow once
// more.
func (p *Publisher) storeOnce(ctx context.Context, m task.Delivery, ev *task.Event, id string, redelivered bool) (uint64, error) {
	if redelivered && p.mayBeForgotten(ev) {
		seq, found, err := p.findStored(ctx, m, ev)
		if found || err != nil {
			return seq, err
		}
	}
	ack, err := p.storeFitting(ctx, p.calls.event, m, ev, eventHeader(m, ev, id))
	if err != nil {
		return 0, fmt.Errorf("publish event of task %s: %w", ev.TaskID, err)
	}
	if !ack.Duplicate {
		return ack.Sequence, nil
	}
	stored, err := p.isStored(ctx, ack, ev, redelivered)
	if err == nil && !stored {
		err = errOthers
	}
	if err != nil {
		return 0, fmt.Errorf("publish event of task %s: %w", ev.TaskID, err)
	}
	return ack.Sequence, nil
}

// storeFitting publishes an event. One that does not fit into a message gives up one thing after the other: its
// result goes to the object store, its metadata is left out, and its texts are cut. ev is then the event that is
// stored.
func (p *Publisher) storeFitting(ctx context.Context, call *jet.Call, m task.Delivery, ev *task.Event, header nats.Header) (receipt, error) {
	shrink := []func() error{
		func() error { return p.offload(ctx, m, ev) },
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

func (p *Publisher) encodeAndStore(ctx context.Context, call *jet.Call, ev *task.Event, header nats.Header) (receipt, error) {
	if ev.ExceedsBytes(p.maxMessage()) {
		return receipt{}, nats.ErrMaxPayload // found without encoding 32 MiB
	}
	data, err := ev.JSON()
	if err != nil {
		return receipt{}, fmt.Errorf("encode: %w", err)
	}
	return p.storeEvent(ctx, call, &nats.Msg{Subject: p.cfg.Subject, Header: header, Data: data})
}

// replayAs publishes a stored event once more. It fitted into a message, but it may not with the mark of a replay.
func (p *Publisher) replayAs(ctx context.Context, m task.Delivery, stored *jetstream.RawStreamMsg, id string) (receipt, error) {
	header := replayHeader(stored.Header, m, id)
	msg := &nats.Msg{Subject: p.cfg.Subject, Header: header, Data: task.Portable(stored.Data)}
	ack, err := p.storeEvent(ctx, p.calls.replay, msg)
	if !tooLarge(err) {
		return ack, err
	}
	var ev task.Event
	if err := json.Unmarshal(stored.Data, &ev); err != nil {
		return receipt{}, fmt.Errorf("read event: %w", err)
	}
	return p.storeFitting(ctx, p.calls.replay, m, &ev, header)
}

// tooLarge reports whether a message was larger than the server's max_payload or the stream's own bound.
func tooLarge(err error) bool {
	return errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, jetstream.ErrStreamMessageExceedsMaximum)
}

// receipt is the stream's answer to an event.
type receipt struct {
	jet.PubAck
	retried bool // an earlier try of the same call may have reached the stream
}

// storeEvent publishes to the results stream until the stream has answered.
//
// The stream tells copies of an event by their id. A subscriber without a consumer does not: it sees
// each message that reaches the server. So an event is not sent a second time before the stream was asked for
// the first, or before it has capacity for one that it refused.
func (p *Publisher) storeEvent(ctx context.Context, call *jet.Call, msg *nats.Msg) (receipt, error) {
	if messageSize(msg) > p.maxMessage() {
		return receipt{}, nats.ErrMaxPayload
	}
	before := position{seq: p.newest.Load()} // the event can only be stored behind it
	var sent, refused bool
	ack, err := jet.Retry(ctx, call, func(ctx context.Context) (jet.PubAck, error) {
		if refused {
			if err := p.capacity.await(ctx, messageSize(msg)); err != nil {
				return jet.PubAck{}, err
			}
		}
		if sent {
			found, err := p.findSent(ctx, before, msg.Header.Get(nats.MsgIdHdr))
			if err != nil || len(found) > 0 {
				return storedAlready(found), err
			}
		}
		ack, err := p.batcher.Publish(ctx, msg)
		sent = sent || mayBeStored(err)
		refused = isRefusal(err)
		if tooLarge(err) {
			err = jet.Final(err)
		}
		return ack, err
	})
	if err == nil && !ack.Duplicate {
		p.newest.Store(ack.Sequence)
	}
	return receipt{PubAck: ack, retried: sent}, err
}

// settleTime is how long the server may take to store a message that it has read. Behind a link that was stalled
// a message and the look for it arrive together, and the server does not store in the order of arrival.
const settleTime = 500 * time.Millisecond

// findSent looks for an event that may have been stored behind a position. Once the server has answered, it has read
// all that was sent before: the second look finds an event that the first came too early for.
func (p *Publisher) findSent(ctx context.Context, behind position, id string) ([]uint64, error) {
	found, err := p.index.find(ctx, behind, id)
	if err != nil || len(found) > 0 {
		return found, err
	}
	timer := time.NewTimer(settleTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		return p.index.find(ctx, behind, id)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// storedAlready is the stream's answer to an event that it has.
func storedAlready(found []uint64) jet.PubAck {
	if len(found) == 0 {
		return jet.PubAck{}
	}
	return jet.PubAck{Sequence: found[0], Duplicate: true}
}

// mayBeStored reports whether a message may have been stored although the call failed: it was sent, and no
// answer came that says otherwise.
func mayBeStored(err error) bool {
	neverSent := errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrMaxPayload) ||
		errors.Is(err, jetstream.ErrNoStreamResponse) // the server has neither the stream nor a subscriber
	return err != nil && !neverSent && !isRefusal(err)
}

// isRefusal reports whether the stream answered that it does not store a message.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*jetstream.APIError](err)
	return ok && !errors.Is(err, jetstream.ErrNoStreamResponse)
}
