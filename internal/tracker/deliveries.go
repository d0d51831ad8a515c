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

// How long a count of deliveries is kept after its last write, and after it was reset.
const (
	countTTL = 7 * 24 * time.Hour
	resetTTL = time.Minute
)

// deliveriesKey is where the deliveries of a request are counted.
func deliveriesKey(stream string, seq uint64) string {
	return fmt.Sprintf("%s%s/%d", task.DeliveriesPrefix, stream, seq)
}

// Deliveries returns how many deliveries of a request have ended without a step forward, as far as they were counted:
// the zero count where none was.
func (t *Tracker) Deliveries(ctx context.Context, m task.Delivery) (task.DeliveryCount, error) {
	none := task.DeliveryCount{Stream: m.Stream, Seq: m.Seq, Stored: m.Stored}
	msg, err := jet.Retry(ctx, t.read, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		msg, err := t.last(ctx, deliveriesKey(m.Stream, m.Seq))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, nil
		}
		return msg, err
	})
	if err != nil {
		return none, fmt.Errorf("read deliveries of request %d of %s: %w", m.Seq, m.Stream, err)
	}
	if found, ok := readDeliveries(msg); ok && found.BelongsTo(m) {
		return found, nil
	}
	return none, nil
}

// readDeliveries returns the count that a message holds, and false where there is none.
func readDeliveries(msg *jetstream.RawStreamMsg) (d task.DeliveryCount, ok bool) {
	ok = msg != nil && json.Unmarshal(msg.Data, &d) == nil
	return d, ok
}

// SaveDeliveries writes a count over whatever stands there. A count of 0 expires after a minute.
func (t *Tracker) SaveDeliveries(ctx context.Context, d task.DeliveryCount) error {
	value, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode deliveries: %w", err)
	}
	ttl := countTTL
	if d.Count == 0 {
		ttl = resetTTL
	}
	msg := &nats.Msg{
		Subject: t.cfg.Subject(deliveriesKey(d.Stream, d.Seq)), Data: value,
		Header: nats.Header{jetstream.MsgTTLHeader: {ttl.String()}},
	}
	_, err = jet.Retry(ctx, t.save, func(ctx context.Context) (jet.PubAck, error) { return t.batcher.Publish(ctx, msg) })
	if err != nil {
		return fmt.Errorf("write deliveries of request %d of %s: %w", d.Seq, d.Stream, err)
	}
	return nil
}
