// Package consumer pulls requests from their stream, and keeps each of them un-acknowledged until its handler returns a
// verdict. The un-acked message is queue, lease and limit in one: it is redelivered after a crash even if nothing else
// survived.
//
// A request passes through pull → fetch → start → [Handler] → release. A consumer pulls no more than it has slots and
// memory for. It extends the leases of all its requests with one burst of heartbeats, three times per ACK_WAIT. When
// it is stopped, it hands its requests over to the other workers at once.
package consumer

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/task"
)

// Handler handles requests.
type Handler interface {
	// Handle takes a request to its end and returns its verdict:
	//
	//   - nil: the request is done, and is acknowledged;
	//   - task.ErrNotOwner: another worker has the task; this one does not answer;
	//   - ctx's error: the request is handed over at once;
	//   - any other error, or a panic: the request is redelivered after ACK_WAIT.
	//
	// Handle may set d.Data to nil to free it: the consumer keeps no other reference.
	Handle(ctx context.Context, d *task.Delivery) error
}

// Batcher sends the answers to deliveries.
type Batcher interface {
	// Send publishes a message without waiting for the server.
	Send(subject string, data []byte)
	// Flush returns when the server has received everything that was sent before.
	Flush(timeout time.Duration) error
}

// Parts are the things that a Consumer works with.
type Parts struct {
	Conn    *nats.Conn
	Batcher Batcher
	Source  jetstream.Consumer // the durable pull consumer, whose AckWait is the configured one
	Stream  *Requests          // the stream that it pulls from
	Handler Handler
	Memory  *memory.Budget // for the requests in progress

	// MayPull reports whether requests may be pulled at all. A worker that cannot record a task must not start it.
	// Nil means always.
	MayPull func() bool

	// Pulled is called after each pull: with nil if the server answered it, else with its error. If several pulls
	// in a row are refused, the consumer or its stream is missing.
	Pulled func(ctx context.Context, refused error)
}

// Consumer pulls requests and runs the handler for each.
type Consumer struct {
	Parts
	cfg     Config
	log     zerolog.Logger
	metrics metrics

	handlers sync.WaitGroup
	freed    chan struct{} // signals the pull loop that a slot or memory was freed; has capacity for one signal

	mu         sync.Mutex
	leases     map[uint64]*lease // of the requests in progress, by sequence in the stream; guarded by mu
	handedOver []*lease          // by the drain; guarded by mu
	pullsEnded bool              // the pull loop has returned, so that NAKs may be sent; guarded by mu
}

// New returns a consumer, which does nothing before Run.
func New(cfg Config, p Parts, reg prometheus.Registerer, log zerolog.Logger) *Consumer {
	c := &Consumer{Parts: p, cfg: cfg, log: log, freed: make(chan struct{}, 1), leases: map[uint64]*lease{}}
	c.metrics = newMetrics(reg, cfg.MaxInFlight, func() float64 { return float64(c.InProgress()) })
	return c
}

// InProgress returns how many requests are in progress.
func (c *Consumer) InProgress() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.leases)
}

// Run pulls and handles requests until ctx ends. Then it drains: it pulls no more, lets handlers finish what must not
// be interrupted, and hands all other requests over. It returns when the server has received that or the connection
// is closed. Run may be called once.
func (c *Consumer) Run(ctx context.Context) {
	heartbeatCtx, stopHeartbeats := context.WithCancel(context.WithoutCancel(ctx))
	var heartbeats sync.WaitGroup
	heartbeats.Go(func() { c.keepAlive(heartbeatCtx) })

	c.pull(ctx)
	c.log.Info().Int("in_progress", c.InProgress()).Msg("drain began")
	reconnects := c.Conn.Stats().Reconnects // as of before the first NAK
	c.sendNAKs(context.WithoutCancel(ctx))
	c.awaitHandlers()
	stopHeartbeats()
	heartbeats.Wait()
	c.confirmHandOver(context.WithoutCancel(ctx), reconnects)
}
