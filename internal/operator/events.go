package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

// Event is an event as it was stored.
type Event struct {
	task.Event
	Raw       []byte // the body, for output that must not lose members which this version does not know
	MessageID string
	Stream    string // of the request that the event answers
	Seq       uint64 // of that request in its stream; 0 if a worker of an older version wrote the event
	Replay    bool   // it was published again, because a request repeats a finished task
}

// ReadEvent reads a message of the results stream. It returns false for a message that is not an event: anyone who may
// publish to the subject can store something else there.
func ReadEvent(header nats.Header, data []byte) (Event, bool) {
	e := Event{Raw: data, MessageID: header.Get(nats.MsgIdHdr), Replay: header.Get(publisher.ReplayHeader) == "true"}
	e.Stream = strings.TrimPrefix(header.Get(publisher.SourceHeader), publisher.SourcePrefix)
	e.Seq, _ = strconv.ParseUint(header.Get(publisher.SequenceHeader), 10, 64) // 0 if it is none
	err := json.Unmarshal(data, &e.Event)
	e.Digest = header.Get(publisher.DigestHeader)
	return e, err == nil && e.TaskID != "" && e.Status.Ended()
}

// Events are the stored events, in their order.
type Events struct{ tail *Tail }

// Events returns the events from a place on: all if from is the zero value. It reads nothing yet.
func (q Queue) Events(from jetstream.OrderedConsumerConfig) *Events {
	from.FilterSubjects = []string{q.Config.Result.Subject}
	return &Events{q.Tail(q.Config.Result.Stream, from)}
}

// Read calls note with each event that was stored since the last call, or from the place given to Queue.Events on.
func (e *Events) Read(ctx context.Context, note func(Event)) error {
	return e.tail.Read(ctx, nil, func(msg jetstream.Msg) error {
		if ev, ok := ReadEvent(msg.Headers(), msg.Data()); ok {
			note(ev)
		}
		return nil
	})
}

// EventHeaders returns a tail of the headers of all stored events. It reads nothing yet.
func (q Queue) EventHeaders() *Tail {
	return q.Tail(q.Config.Result.Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{q.Config.Result.Subject}, HeadersOnly: true,
	})
}

// recreatedLook is the time between two looks whether the stream that is followed is still the same.
const recreatedLook = 2 * time.Second

// FollowEvents calls note with each message of the results stream from a place on, as they are stored, until ctx ends. It
// survives outages of NATS. If the stream is recreated, it calls note with all messages of the new one, by another goroutine.
// note must return soon after ctx has ended. atEnd says that nothing was stored from that place on when it began.
func (q Queue) FollowEvents(ctx context.Context, from jetstream.OrderedConsumerConfig, note func(jetstream.Msg)) (atEnd bool, err error) {
	created, consuming, atEnd, err := q.consumeEvents(ctx, from, note)
	if err != nil {
		return false, err
	}
	go func() {
		defer func() { consuming.Stop() }()
		for timer.Sleep(ctx, recreatedLook, nil) == nil {
			stream, err := q.Stream(ctx, q.Config.Result.Stream)
			if err != nil || stream.CachedInfo().Created.Equal(created) {
				continue // without an answer it may be the same
			}
			// The consumer of the old stream would wait for a sequence that the new one may not have for long.
			consuming.Stop()
			if newCreated, next, _, err := q.consumeEvents(ctx, jetstream.OrderedConsumerConfig{}, note); err == nil {
				created, consuming = newCreated, next
			}
		}
	}()
	return atEnd, nil
}

// consumeEvents begins to call note with each message of the results stream from a place on. It returns when the stream was
// created.
func (q Queue) consumeEvents(
	ctx context.Context, from jetstream.OrderedConsumerConfig, note func(jetstream.Msg),
) (created time.Time, _ jetstream.ConsumeContext, atEnd bool, err error) {
	name := q.Config.Result.Stream
	stream, err := q.Stream(ctx, name)
	if err != nil {
		return created, nil, false, err
	}
	from.FilterSubjects = []string{q.Config.Result.Subject}
	consumer, err := stream.OrderedConsumer(ctx, from)
	if err != nil {
		return created, nil, false, fmt.Errorf("read stream %s: %w", name, q.Explain(err))
	}
	atEnd = consumer.CachedInfo().NumPending == 0
	consuming, err := consumer.Consume(note, jetstream.PullMaxBytes(max(pullBytes, 2*int(q.Conn.MaxPayload()))))
	if err != nil {
		return created, nil, false, fmt.Errorf("read stream %s: %w", name, err)
	}
	return stream.CachedInfo().Created, consuming, atEnd, nil
}

// EventAt reads the event at a sequence. It returns task.ErrNoEvent if there is none of this task: it has expired, or the
// stream was recreated, and the sequence is another event's.
func (q Queue) EventAt(ctx context.Context, id string, seq uint64) (*task.Event, error) {
	msg, err := q.MessageAt(ctx, q.Config.Result.Stream, seq)
	if err != nil {
		return nil, fmt.Errorf("read event of task %s: %w", id, err)
	}
	if msg == nil {
		return nil, task.ErrNoEvent
	}
	ev, ok := ReadEvent(msg.Header, msg.Data)
	if !ok || ev.TaskID != id {
		return nil, task.ErrNoEvent
	}
	return &ev.Event, nil
}

// LastEventOf searches the stored events for the newest one of a task, by their headers. It returns task.ErrNoEvent if
// there is none.
func (q Queue) LastEventOf(ctx context.Context, id string) (*task.Event, error) {
	found := uint64(0)
	err := q.EventHeaders().Read(ctx, nil, func(msg jetstream.Msg) error {
		own, _, _ := strings.Cut(msg.Headers().Get(nats.MsgIdHdr), "/")
		if msg.Headers().Get(publisher.SubjectHeader) != id && own != id {
			return nil
		}
		meta, err := msg.Metadata()
		if err == nil {
			found = meta.Sequence.Stream
		}
		return err
	})
	if IsMissing(err) || err == nil && found == 0 {
		return nil, task.ErrNoEvent
	}
	if err != nil {
		return nil, err
	}
	return q.EventAt(ctx, id, found)
}
