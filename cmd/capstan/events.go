package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// received is an event as it was stored.
type received struct {
	task.Event
	raw    []byte
	id     string // its message id
	replay bool   // stored before, and published again for a repeated request
}

// readEvent returns false for a message that is no event.
func readEvent(header nats.Header, data []byte) (received, bool) {
	r := received{raw: data, id: header.Get(nats.MsgIdHdr), replay: header.Get(publisher.ReplayHeader) == "true"}
	err := json.Unmarshal(data, &r.Event)
	return r, err == nil && r.TaskID != "" && r.Status.Ended()
}

// beginning says with which of the stored events to begin.
type beginning func(last uint64, cfg *jetstream.OrderedConsumerConfig)

// fromNow leaves out all that are stored. It names the next sequence, so that a consumer that is made
// again before the first event misses none.
func fromNow() beginning {
	return func(last uint64, cfg *jetstream.OrderedConsumerConfig) {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, last+1
	}
}

// since begins with those that were stored after a moment.
func since(moment time.Time) beginning {
	return func(_ uint64, cfg *jetstream.OrderedConsumerConfig) {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &moment
	}
}

// fromStart begins with the oldest that is stored.
func fromStart() beginning {
	return func(_ uint64, cfg *jetstream.OrderedConsumerConfig) { cfg.DeliverPolicy = jetstream.DeliverAllPolicy }
}

// follow delivers events in their order until ctx ends. When it returns, the place in the stream is
// taken: what is stored from then on arrives, through outages of NATS as well.
func (c *client) follow(ctx context.Context, from beginning) (<-chan received, error) {
	stream, err := c.js.Stream(ctx, c.cfg.Result.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, c.missing("stream", c.cfg.Result.Stream)
	}
	if err != nil {
		return nil, fmt.Errorf("look for stream %s: %w", c.cfg.Result.Stream, err)
	}
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: []string{c.cfg.Result.Subject}}
	from(stream.CachedInfo().State.LastSeq, &cfg)
	consumer, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", c.cfg.Result.Stream, err)
	}
	events := make(chan received)
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		if ev, ok := readEvent(msg.Headers(), msg.Data()); ok {
			select {
			case events <- ev:
			case <-ctx.Done():
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", c.cfg.Result.Stream, err)
	}
	context.AfterFunc(ctx, consuming.Stop)
	return events, nil
}

// await returns the event that answers the request.
func (p published) await(ctx context.Context, events <-chan received) (task.Event, error) {
	for {
		select {
		case ev := <-events:
			if p.isAnswered(ev) {
				return ev.Event, nil
			}
		case <-ctx.Done():
			return task.Event{}, fmt.Errorf("task %s has not ended yet; it goes on, see: capstan get %s", p.taskID, p.taskID)
		}
	}
}

// isAnswered reports whether an event is the task's own, or another one that answers this very request: a replay, or
// the refusal of an id that is in use. The message id of those is the task id, the request's sequence and the time at
// which the stream stored the request, with slashes between them. Workers of older versions wrote a dot and no time.
func (p published) isAnswered(ev received) bool {
	return ev.id == p.taskID || ev.TaskID == p.taskID &&
		(strings.HasPrefix(ev.id, fmt.Sprintf("%s/%d/", p.taskID, p.seq)) || ev.id == fmt.Sprintf("%s.%d", p.taskID, p.seq))
}

// fetchResult puts the answer that did not fit into the event into it.
func (c *client) fetchResult(ctx context.Context, ev *task.Event) error {
	ref := ev.ResultRef
	if ref == nil {
		return nil
	}
	objects, err := c.js.ObjectStore(ctx, ref.Bucket)
	if err != nil {
		return fmt.Errorf("fetch the result from object store %s: %w", ref.Bucket, err)
	}
	answer, err := objects.GetBytes(ctx, ref.Name)
	if err != nil {
		return fmt.Errorf("fetch the result %s from object store %s: %w", ref.Name, ref.Bucket, err)
	}
	if ev.Status == task.Succeeded {
		ev.Result = answer
	} else {
		ev.RawResult = answer
	}
	return nil
}
