// Package consumer pulls requests from their stream and holds each un-acknowledged until its handler has
// a verdict. The un-acked message is the queue, the lease and the cap in one: nothing else has to survive
// a crash for the request to come back.
//
// It pulls just as many as it has slots and memory for, keeps what it holds alive with one burst of heartbeats
// three times per ACK_WAIT, and hands everything over without delay when it is told to stop.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// pullWait is how long a pull waits for requests. A pull that is cut off can leave requests in flight
	// that only ACK_WAIT brings back, so that a drain lets it run out: short, then.
	pullWait = 500 * time.Millisecond

	// pullMost is how many requests one pull asks for, and pullBytes how large they may be together. The client
	// keeps them in a buffer of 64 MiB and drops what does not fit: it would come back after ACK_WAIT.
	pullMost  = 64
	pullBytes = 48 << 20

	// errorWait is the time between two pulls where the first one failed.
	errorWait = time.Second

	// flushTimeout bounds how long a burst of heartbeats or of NAKs may take to reach the server, each time.
	flushTimeout = 5 * time.Second
)

// Handler takes requests to their end.
type Handler interface {
	// Handle takes a request to its end and returns its verdict. nil: the request is done and acknowledged.
	// task.ErrNotOwner: another worker has it, and it is not answered. The error of ctx: it is handed over at once.
	// Any other error: it comes back after ACK_WAIT, and so does one whose handler panics. Handle may set m.Data
	// to nil: the consumer keeps no other reference to it.
	Handle(ctx context.Context, m *task.Delivery) error
}

// Batcher sends answers to deliveries.
type Batcher interface {
	Send(subject string, data []byte)
	// Flush returns when the server has what was sent.
	Flush(timeout time.Duration) error
}

// Parts are what a Consumer works with.
type Parts struct {
	Conn    *nats.Conn
	Batcher Batcher
	Source  jetstream.Consumer // the durable pull consumer, whose AckWait is the configured one
	Stream  *Requests          // the stream that it pulls from
	Handler Handler
	Memory  *memory.Budget // for the requests that are held

	// MayPull reports whether requests may be pulled at all: a worker that cannot record a task must not begin it. Nil: always.
	MayPull func() bool

	// Pulled is told of each pull: nil where the server answered it, else its error. Several refused pulls in a
	// row mean that the consumer or its stream is missing.
	Pulled func(ctx context.Context, refused error)
}

// Consumer holds requests for a handler.
type Consumer struct {
	Parts
	cfg     Config
	log     zerolog.Logger
	metrics metrics

	handlers sync.WaitGroup
	freed    chan struct{} // a slot or memory was released
	pulled   chan struct{} // closed when no pull is open any more

	mu     sync.Mutex
	held   map[uint64]*lease // by sequence in the stream; guarded by mu
	nacked []*lease          // handed over in the drain; guarded by mu
}

// New returns a consumer.
func New(cfg Config, p Parts, reg prometheus.Registerer, log zerolog.Logger) *Consumer {
	c := &Consumer{
		Parts: p, cfg: cfg, log: log,
		freed: make(chan struct{}, 1), pulled: make(chan struct{}), held: map[uint64]*lease{},
	}
	c.metrics = newMetrics(reg, cfg.MaxInFlight, func() float64 { return float64(c.Held()) })
	return c
}

// Held is the number of requests held now.
func (c *Consumer) Held() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.held)
}

// Run pulls and handles requests until ctx ends. Then it pulls no more, lets handlers finish what must
// not be cut in half, hands everything else over, and returns when the server has it or the connection
// is closed. Run is called once.
func (c *Consumer) Run(ctx context.Context) {
	beatCtx, stopBeats := context.WithCancel(context.WithoutCancel(ctx))
	var beats sync.WaitGroup
	beats.Go(func() { c.keepAlive(beatCtx) })

	c.pull(ctx)
	c.log.Info().Int("held", c.Held()).Msg("drain began")
	link := c.Conn.Stats().Reconnects // nothing is handed over before pulled is closed
	close(c.pulled)
	c.awaitHandlers()
	stopBeats()
	beats.Wait()
	c.handOver(context.WithoutCancel(ctx), link)
}

// pull asks for requests until ctx ends and the last pull has run out.
func (c *Consumer) pull(ctx context.Context) {
	failures := 0
	for {
		n := c.capacity(ctx)
		if n == 0 {
			return
		}
		err := c.fetch(ctx, n)
		if err == nil {
			failures = 0
			continue
		}
		failures++
		c.Stream.Doubt()
		c.metrics.pullErrors.Inc()
		c.log.Warn().Err(err).Int("in_a_row", failures).Msg("pull failed")
		wait(ctx, errorWait/2+rand.N(errorWait/2))
		if c.Conn.IsConnected() {
			c.Pulled(ctx, err)
		}
	}
}

func (c *Consumer) fetch(ctx context.Context, n int) error {
	if !c.Conn.IsConnected() {
		wait(ctx, errorWait/10)
		return nil
	}
	began := time.Now()
	batch, err := c.Source.Fetch(n, jetstream.FetchMaxWait(pullWait))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		if err := c.take(ctx, msg, began); err != nil {
			c.log.Error().Err(err).Msg("message without JetStream metadata ignored")
		}
	}
	if err := batch.Error(); err != nil && c.Conn.IsConnected() {
		return err
	}
	c.Pulled(ctx, nil)
	return nil
}

// take holds a request that was delivered after a moment and starts its handler. A delivery of one that is
// held already starts nothing: the lease gets its reply subject.
func (c *Consumer) take(ctx context.Context, msg jetstream.Msg, after time.Time) error {
	m, err := message(msg)
	if err != nil {
		return err
	}
	c.metrics.requests.Inc()
	if m.Deliveries > 1 {
		c.metrics.redeliveries.Inc()
	}
	l, isNew := c.lend(m.Seq, m.Stored, after, msg.Reply(), c.created(ctx))
	if !isNew {
		return nil
	}
	// The pull asked for no more than there is memory for, so that this does not wait.
	l.memory, _ = c.Memory.Reserve(context.WithoutCancel(ctx), weight(len(m.Data)+headerSize(m.Header)))
	m.LeaseExpired = func() bool { return c.lapsed(l) }
	m.OnSize = func(bytes int) { c.keep(l, bytes) }
	m.OnBusy = func(begins bool) { c.working(l, begins) }
	c.handlers.Go(func() {
		var verdict error
		defer func() { c.settle(ctx, l, recovered(recover(), verdict)) }()
		verdict = c.Handler.Handle(ctx, m)
	})
	return nil
}

// recovered returns the verdict of a handler that panicked with a value, or the one that it returned. A panic ends one
// request's handling and not the worker.
func recovered(value any, verdict error) error {
	if value == nil {
		return verdict
	}
	return &panicError{value: value, stack: debug.Stack()}
}

// panicError is the verdict of a handler that panicked.
type panicError struct {
	value any
	stack []byte
}

// Error does not show the value: it may quote a request. Only the runtime's own words are safe.
func (p *panicError) Error() string {
	if err, ok := p.value.(interface{ RuntimeError() }); ok {
		return fmt.Sprintf("panic: %v", err)
	}
	return fmt.Sprintf("panic: %T", p.value)
}

// settle answers a request's delivery by the handler's verdict.
func (c *Consumer) settle(ctx context.Context, l *lease, verdict error) {
	if p, ok := errors.AsType[*panicError](verdict); ok {
		c.metrics.panics.Inc()
		c.log.Error().Err(p).Uint64("seq", l.seq).Bytes("stack", p.stack).Msg("handler panicked, request will be redelivered")
	}
	notOwner := errors.Is(verdict, task.ErrNotOwner)
	drained := verdict != nil && ctx.Err() != nil && !notOwner
	if drained {
		<-c.pulled // a pull of this worker would get the request again
	}
	defer c.signalFreed() // after the answer: a pull that overtook it would hold one request too many
	switch reply, s := c.release(l, c.created(context.WithoutCancel(ctx))); {
	case s == recreated:
		c.metrics.settle(gone)
		c.log.Warn().Uint64("seq", l.seq).Msg("request stream was recreated, delivery dropped")
	case verdict == nil:
		c.metrics.settle(done)
		c.answer(reply, ack)
	case notOwner && s == renewed:
		c.metrics.settle(failed)
		c.log.Info().Uint64("seq", l.seq).Msg("task was lost and its request redelivered here, starting over")
		c.answer(reply, nak)
	case notOwner, drained && s == expired:
		c.metrics.settle(leftAlone)
		c.log.Info().Uint64("seq", l.seq).Msg("lease lost, request left to its new owner")
	case drained:
		c.metrics.settle(handedOver)
		c.nack(l, reply)
	default:
		c.metrics.settle(failed)
		c.log.Error().Err(verdict).Uint64("seq", l.seq).Msg("handler failed, request will be redelivered")
	}
}

// created returns when the request stream was created, as far as that can be asked.
func (c *Consumer) created(ctx context.Context) time.Time {
	if !c.Conn.IsConnected() {
		return c.Stream.Known()
	}
	return c.Stream.Created(ctx)
}

// The answers to a delivery, as JetStream's protocol spells them.
const (
	ack        = "+ACK"
	nak        = "-NAK"
	inProgress = "+WPI"
)

// answer sends one. None is waited for: a lost ack brings the request back, and its record says that it
// is done.
func (c *Consumer) answer(reply, what string) { c.Batcher.Send(reply, []byte(what)) }

// message reads a delivery.
func message(msg jetstream.Msg) (*task.Delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	return &task.Delivery{
		Stream: meta.Stream, Seq: meta.Sequence.Stream, Stored: meta.Timestamp.UTC(),
		Deliveries: meta.NumDelivered, Header: msg.Headers(), Data: msg.Data(),
	}, nil
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
