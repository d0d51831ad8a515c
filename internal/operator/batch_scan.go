package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/task"
)

// idleTimeout is for how long a scan waits for a message that the server has announced.
const idleTimeout = 30 * time.Second

// scan calls f for each message of a stream, from the start of cfg to the newest one, in their order. It reads through an
// ordered consumer, which takes nothing away from others. Outages of NATS shorter than idleTimeout do not end it.
func (q Queue) scan(ctx context.Context, s jetstream.Stream, cfg jetstream.OrderedConsumerConfig, f func(jetstream.Msg, *jetstream.MsgMetadata)) error {
	consumer, err := s.OrderedConsumer(ctx, cfg)
	if err != nil {
		return q.explain(err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return q.explain(err)
	}
	if info.NumPending == 0 && info.Delivered.Consumer == 0 {
		return nil
	}
	most := max(pullBytes, 2*int(q.Conn.MaxPayload()))
	messages, err := consumer.Messages(jetstream.PullMaxBytes(most))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		msg, err := nextMessage(ctx, messages)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && isAtEnd(ctx, consumer) {
			return nil // what was announced is gone
		}
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		f(msg, meta)
		if meta.NumPending == 0 {
			return nil
		}
	}
}

// nextMessage waits for the next message of a scan.
func nextMessage(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, idleTimeout)
	defer cancel()
	return messages.Next(jetstream.NextContext(ctx))
}

// records calls f for the record of each task that has one. Records that this version cannot read are skipped. want, if it
// is not nil, says by the task's id and the bytes of the record which ones to read.
func (q Queue) records(ctx context.Context, want func(id string, value []byte) bool, f func(task.Record)) error {
	s, err := q.stream(ctx, "bucket", q.Config.Tracker.Bucket, q.Config.Tracker.Stream())
	if err != nil {
		return err
	}
	prefix := q.Config.Tracker.Subject("")
	err = q.scan(ctx, s, jetstream.OrderedConsumerConfig{}, func(msg jetstream.Msg, _ *jetstream.MsgMetadata) {
		id := strings.TrimPrefix(msg.Subject(), prefix)
		if strings.HasPrefix(id, task.DeliveriesPrefix) || isDeleted(msg) || want != nil && !want(id, msg.Data()) {
			return
		}
		if rec, err := task.ParseRecord(msg.Data()); err == nil && rec.TaskID == id {
			f(rec)
		}
	})
	if err != nil {
		return fmt.Errorf("read the records in bucket %s: %w", q.Config.Tracker.Bucket, err)
	}
	return nil
}
