package limits

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// NATSConsumer is the workers' durable consumer in NATS.
type NATSConsumer struct {
	JS           jetstream.JetStream
	Stream, Name string
}

// Pending implements Consumer.
func (c NATSConsumer) Pending(ctx context.Context) (Pending, error) {
	consumer, err := c.JS.Consumer(ctx, c.Stream, c.Name)
	if err != nil {
		return Pending{}, fmt.Errorf("ask for consumer %s: %w", c.Name, err)
	}
	info := consumer.CachedInfo()
	return Pending{Held: info.NumAckPending, Most: info.Config.MaxAckPending, Delivered: info.Delivered.Consumer}, nil
}

// SetMost implements Consumer. Everything else of the consumer stays as it is.
func (c NATSConsumer) SetMost(ctx context.Context, most int) error {
	consumer, err := c.JS.Consumer(ctx, c.Stream, c.Name)
	if err != nil {
		return fmt.Errorf("ask for consumer %s: %w", c.Name, err)
	}
	cfg := consumer.CachedInfo().Config
	cfg.MaxAckPending = most
	if _, err := c.JS.UpdateConsumer(ctx, c.Stream, cfg); err != nil {
		return fmt.Errorf("change max ack pending of consumer %s to %d: %w", c.Name, most, err)
	}
	return nil
}
