package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// startAt configures a consumer to start at one of the stored events. last is the stream's last sequence, 0
// if it never had a message.
type startAt func(last uint64, cfg *jetstream.OrderedConsumerConfig)

// fromNow skips all stored events. It names the next sequence, so that a consumer that is recreated before the first
// event misses none.
func fromNow() startAt {
	return func(last uint64, cfg *jetstream.OrderedConsumerConfig) {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, last+1
	}
}

// since starts with the first event that was stored at or after a time. The server compares it with its own
// clock, so a clock that is off shifts the start.
func since(moment time.Time) startAt {
	return func(_ uint64, cfg *jetstream.OrderedConsumerConfig) {
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &moment
	}
}

// fromStart starts with the oldest stored event.
func fromStart() startAt {
	return func(_ uint64, cfg *jetstream.OrderedConsumerConfig) { cfg.DeliverPolicy = jetstream.DeliverAllPolicy }
}

// follow sends events in their order until ctx ends. Every event that is stored after follow has returned
// arrives, even through outages of NATS: an ordered consumer notices a gap and starts again behind the last
// event that it delivered. Those of a stream that is recreated arrive from its beginning. The channel is never closed, so the
// receiver must also wait for ctx. While the caller does not receive, later events wait at the server.
func (c *client) follow(ctx context.Context, from startAt) (<-chan operator.Event, error) {
	stream, err := c.js.Stream(ctx, c.cfg.Result.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, c.missing("stream", c.cfg.Result.Stream)
	}
	if err != nil {
		return nil, fmt.Errorf("find stream %s: %w", c.cfg.Result.Stream, c.explain(ctx, err))
	}
	var cfg jetstream.OrderedConsumerConfig
	from(stream.CachedInfo().State.LastSeq, &cfg)
	events := make(chan operator.Event)
	_, err = c.queue().FollowEvents(ctx, cfg, func(msg jetstream.Msg) {
		if ev, ok := operator.ReadEvent(msg.Headers(), msg.Data()); ok {
			// Without ctx, a receiver that has stopped would block the goroutine of the subscription forever.
			select {
			case events <- ev:
			case <-ctx.Done():
			}
		}
	})
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	return events, nil
}

// await waits for the event that answers the request. events must come from a follow that began before the
// request was published, or a quick answer is missed. At the end of ctx, its error says how to find the
// event later: the task keeps running.
func (p published) await(ctx context.Context, events <-chan operator.Event) (task.Event, error) {
	for {
		select {
		case ev := <-events:
			if p.isAnswered(ev) {
				return ev.Event, nil
			}
		case <-ctx.Done():
			err := withinTime(ctx, fmt.Errorf("task %s is still running; check it with: capstan get %s", p.taskID, p.taskID))
			if closed := causeOf(ctx, nil); closed != nil {
				err = fmt.Errorf("%w; %w", closed, err)
			}
			return task.Event{}, err
		}
	}
}

// isAnswered reports whether an event answers this request, or is that of the task which the request repeats. An event of
// the same task id with other content answers another request.
func (p published) isAnswered(ev operator.Event) bool {
	switch {
	case ev.Seq == p.seq && ev.Stream == p.stream:
		return true
	case ev.TaskID != p.taskID:
		return false
	case ev.Digest != "":
		return ev.Digest == p.digest
	}
	return ev.Seq == 0 && p.isAnsweredByID(ev.MessageID)
}

// isAnsweredByID judges an event of a worker of an older version, which names the request only in the message id: it is the
// task id, or this, the request's sequence and a time, separated by slashes. The first versions wrote a dot and no time.
func (p published) isAnsweredByID(id string) bool {
	return id == p.taskID || strings.HasPrefix(id, fmt.Sprintf("%s/%d/", p.taskID, p.seq)) || id == fmt.Sprintf("%s.%d", p.taskID, p.seq)
}

// fetchResult fetches a result that did not fit into the event, and puts it there: in Result, or in
// RawResult if the task failed. ResultRef stays set. It does nothing for an event that has its result, and
// leaves the event unchanged if the object cannot be read. The object store verifies the digest.
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
