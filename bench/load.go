package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// requestSize is the length of a request in bytes.
const requestSize = 300

// request returns a request of that length for a task.
func request(id string) []byte {
	begin := fmt.Sprintf(`{"task_id":%q,"url":"https://example.com/","prompt":"%s `, id, id)
	const end = `"}`
	return []byte(begin + strings.Repeat("x", max(0, requestSize-len(begin)-len(end))) + end)
}

// fill publishes n requests and returns when all are stored. Ids begin with the given word.
func (w *world) fill(ctx context.Context, word string, n int) error {
	return w.publish(ctx, n, func(i int) *nats.Msg {
		return &nats.Msg{Subject: requestSubject, Data: request(fmt.Sprintf("%s-%07d", word, i))}
	})
}

// publish publishes n messages, many at a time, and returns when all are stored.
func (w *world) publish(ctx context.Context, n int, message func(i int) *nats.Msg) error {
	const window = 2000
	js, err := jetstream.New(w.nc, jetstream.WithPublishAsyncMaxPending(window))
	if err != nil {
		return err
	}
	waiting := make([]jetstream.PubAckFuture, 0, window)
	for i := range n {
		ack, err := js.PublishMsgAsync(message(i), jetstream.WithStallWait(time.Minute))
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		if waiting = append(waiting, ack); len(waiting) == window || i == n-1 {
			if err := stored(ctx, waiting); err != nil {
				return err
			}
			waiting = waiting[:0]
		}
	}
	return nil
}

func stored(ctx context.Context, acks []jetstream.PubAckFuture) error {
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			return fmt.Errorf("publish: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// messages is how many messages a stream holds.
func (w *world) messages(ctx context.Context, stream string) (int, error) {
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("look at %s: %w", stream, err)
	}
	return int(min(s.CachedInfo().State.Msgs, math.MaxInt32)), nil
}

// storedAt returns when the event of that sequence was stored.
func (w *world) storedAt(ctx context.Context, seq int) (time.Time, error) {
	s, err := w.js.Stream(ctx, resultStream)
	if err != nil {
		return time.Time{}, fmt.Errorf("look at the events: %w", err)
	}
	msg, err := s.GetMsg(ctx, uint64(seq))
	if err != nil {
		return time.Time{}, fmt.Errorf("read event %d: %w", seq, err)
	}
	return msg.Time, nil
}
