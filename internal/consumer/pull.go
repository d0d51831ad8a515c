package consumer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/timer"
)

const (
	// pullBytes bounds the requests of one pull together, if each is as large as possible. The client buffers 64 MiB of
	// them. It drops what exceeds that, which is redelivered after ACK_WAIT.
	pullBytes = 48 << 20

	// retryWait is the time until the next pull after a failed one.
	retryWait = time.Second
)

// pull fetches requests until ctx ends and the last pull is over.
func (c *Consumer) pull(ctx context.Context) {
	failures := 0
	for {
		n := c.awaitCapacity(ctx)
		if n == 0 {
			return
		}
		err := c.fetch(ctx, n)
		if err == nil {
			failures = 0
			continue
		}
		failures++
		c.Stream.Invalidate()
		c.metrics.pullErrors.Inc()
		c.log.Warn().Err(err).Int("in_a_row", failures).Msg("pull failed")
		_ = timer.Sleep(ctx, retryWait/2+rand.N(retryWait/2), nil)
		if c.Conn.IsConnected() {
			c.Pulled(ctx, err)
		}
	}
}

// fetch pulls up to n requests and starts to handle each. With NATS unreachable it returns nil after a moment.
func (c *Consumer) fetch(ctx context.Context, n int) error {
	if !c.Conn.IsConnected() {
		_ = timer.Sleep(ctx, retryWait/10, nil)
		return nil
	}
	pulledAt := time.Now()
	batch, err := c.Source.Fetch(n, jetstream.FetchMaxWait(jet.PullWait))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		if err := c.start(ctx, msg, pulledAt); err != nil {
			c.log.Error().Err(err).Msg("message without JetStream metadata ignored")
		}
	}
	if err := batch.Error(); err != nil {
		if c.Conn.IsConnected() {
			return err
		}
		return nil // the pull was not answered
	}
	c.Pulled(ctx, nil)
	return nil
}

// start leases a request and runs its handler in a goroutine. A redelivery of a request that is in progress starts
// nothing. The server sent the delivery at some time after pulledAt.
func (c *Consumer) start(ctx context.Context, msg jetstream.Msg, pulledAt time.Time) error {
	d, err := readDelivery(msg)
	if err != nil {
		return err
	}
	l, isNew := c.acquire(d, msg.Reply(), pulledAt, c.streamCreated(ctx))
	c.metrics.countDelivery(d)
	if !isNew {
		return nil
	}
	// The pull asked for no more than there is memory for, so this does not wait.
	l.memory, _ = c.Memory.Reserve(context.WithoutCancel(ctx), weight(len(d.Data)+headerSize(d.Header)))
	d.LeaseExpired = func() bool { return c.everExpired(l) }
	d.OnSize = func(bytes int) { c.shrink(l, bytes) }
	d.OnBusy = func(busy bool) { c.markBusy(l, busy) }
	c.handlers.Go(func() {
		var verdict error
		defer func() { c.release(ctx, l, verdictOrPanic(verdict, recover())) }()
		verdict = c.Handler.Handle(ctx, d)
	})
	return nil
}

func readDelivery(msg jetstream.Msg) (*task.Delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	return &task.Delivery{
		Stream: meta.Stream, Seq: meta.Sequence.Stream, Stored: meta.Timestamp.UTC(),
		Deliveries: meta.NumDelivered, Header: msg.Headers(), Data: msg.Data(),
	}, nil
}
