package tracker

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

// How long a count is stored.
const (
	// From the last write of a count.
	countTTL = 7 * 24 * time.Hour
	resetTTL = time.Minute // of a count that was reset
)

// deliveriesKey returns the key of the count of a request's deliveries.
func deliveriesKey(stream string, seq uint64) string {
	return fmt.Sprintf("%s%s/%d", task.DeliveriesPrefix, stream, seq)
}

// Deliveries returns the stored count of a request's deliveries, or a count of 0 if there is none.
func (t *Tracker) Deliveries(ctx context.Context, d task.Delivery) (task.DeliveryCount, error) {
	none := task.DeliveryCount{Stream: d.Stream, Seq: d.Seq, Stored: d.Stored}
	msg, err := jet.Retry(ctx, t.read, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		msg, err := t.last(ctx, deliveriesKey(d.Stream, d.Seq))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, nil
		}
		return msg, err
	})
	if err != nil {
		return none, fmt.Errorf("read deliveries of request %d of %s: %w", d.Seq, d.Stream, err)
	}
	if msg == nil {
		return none, nil
	}
	var found task.DeliveryCount
	if err := json.Unmarshal(msg.Data, &found); err == nil && found.BelongsTo(d) {
		return found, nil
	}
	// It counts another request's deliveries, or no worker wrote it.
	return none, nil
}

// SaveDeliveries writes a count over the stored one. A count of 0 expires after a minute.
func (t *Tracker) SaveDeliveries(ctx context.Context, count task.DeliveryCount) error {
	value, err := json.Marshal(count)
	if err != nil {
		return fmt.Errorf("encode deliveries: %w", err)
	}
	ttl := countTTL
	if count.Count == 0 {
		ttl = resetTTL
	}
	msg := t.newMessage(deliveriesKey(count.Stream, count.Seq), value, nats.Header{jetstream.MsgTTLHeader: {ttl.String()}})
	_, err = jet.Retry(ctx, t.save, func(ctx context.Context) (jet.PubAck, error) { return t.batcher.Publish(ctx, msg) })
	if err != nil {
		return fmt.Errorf("write deliveries of request %d of %s: %w", count.Seq, count.Stream, err)
	}
	return nil
}
