package check

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/timer"
)

// strandedWait is the time between two looks at a request that the consumer counts as acknowledged: after an ack it is removed
// a moment later.
const strandedWait = time.Second

// stranded warns of a request that is stored although the consumer counts it as acknowledged. NATS then never delivers it. That
// was seen once, after servers of a cluster had been killed. Without such a request it reports nothing.
func (c *checker) stranded(ctx context.Context) {
	seq := c.findStranded(ctx)
	if seq == 0 {
		return
	}
	if timer.Sleep(ctx, strandedWait, nil) != nil || c.findStranded(ctx) != seq {
		return
	}
	c.add(Warn, "stream "+c.cfg.Request.Stream, "request %d is stored, but consumer %s counts it as acknowledged, so NATS never delivers it. "+
		"Delete the consumer: a worker creates it again within a minute, and all stored requests are delivered anew. Tasks that run go on, and none runs twice", seq, c.cfg.Consumer)
}

// findStranded returns the sequence of the oldest request if the consumer counts it as acknowledged. It returns 0 if there is
// none, or if NATS does not say.
func (c *checker) findStranded(ctx context.Context) (seq uint64) {
	js, err := c.cfg.NATS.JetStream(c.nc)
	if err != nil {
		return 0
	}
	var acked, oldest uint64 // read only if ask returns nil
	err = c.ask(ctx, func(ctx context.Context) error {
		stream, err := js.Stream(ctx, c.cfg.Request.Stream)
		if err != nil {
			return err
		}
		consumer, err := stream.Consumer(ctx, c.cfg.Consumer)
		if err != nil {
			return err
		}
		acked = consumer.CachedInfo().AckFloor.Stream
		msg, err := stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(c.cfg.Request.Subject)) // after the consumer: it may be acknowledged meanwhile
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err == nil {
			oldest = msg.Sequence
		}
		return err
	})
	if err != nil || oldest > acked {
		return 0
	}
	return oldest
}
