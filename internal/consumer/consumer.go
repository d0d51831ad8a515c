// Package consumer pulls requests from their stream and holds each un-acknowledged until its handler has
// a verdict. The un-acked message is the queue, the lease and the cap in one: nothing else has to survive
// a crash for the request to come back.
//
// It pulls just as many as there is room for, keeps what it holds alive with one burst of heartbeats
// three times per ACK_WAIT, and on the way out gives everything back without delay.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/contain"
	"github.com/capstan-worker/capstan/internal/task"
)

const (
	// pullWait is how long a pull waits for requests. A pull that is cut off can leave requests in flight
	// that only ACK_WAIT brings back, so that a drain lets it run out: short, then.
	pullWait = 500 * time.Millisecond

	// pullMost is how many requests one pull asks for. What comes for a pull has to fit into the client's
	// buffer of 64 MiB, or some of it is dropped and comes back after ACK_WAIT.
	pullMost = 64

	// errorWait is the time between two pulls where the first one failed.
	errorWait = time.Second

	// flushTimeout bounds how long a burst of heartbeats or of NAKs may take to reach the server, each time.
	flushTimeout = 5 * time.Second
)

// Handler is what becomes of a request.
type Handler interface {
	// Handle takes a request to its end, and then calls settle, once, with its verdict: nil, the request is
	// done and acknowledged; task.ErrNotOwner, it is somebody else's and left alone; the context's error, it is
	// given back at once; any other error, a *contain.PanicError among them, it comes back after ACK_WAIT. It may
	// return long before.
	Handle(ctx context.Context, m task.Message, settle func(verdict error))

	// Started reports whether the request's task has begun.
	Started(ctx context.Context, m task.Message) (bool, error)
}

// Outbox sends answers to deliveries.
type Outbox interface {
	Send(subject string, data []byte)
	// Flush returns when the server has what was sent.
	Flush(timeout time.Duration) error
}

// Consumer holds requests for a handler.
type Consumer struct {
	nc      *nats.Conn
	outbox  Outbox
	source  jetstream.Consumer
	cfg     Config
	handler Handler
	repair  func(context.Context) error
	log     zerolog.Logger
	metrics metrics

	handlers sync.WaitGroup
	freed    chan struct{} // a held request was settled
	pulled   chan struct{} // closed when no pull is open any more

	mu   sync.Mutex
	held map[uint64]*lease // by sequence in the stream; guarded by mu
	back []*lease          // given back on the way out; guarded by mu

	spareUsed bool // the last pull into the spare room found what that is for; of the pulling goroutine
}

// New returns a consumer of the durable pull consumer source, whose AckWait is cfg.AckWait. repair is
// called when pulls fail while NATS is there: a server that came back empty has no streams.
func New(nc *nats.Conn, o Outbox, source jetstream.Consumer, cfg Config, h Handler, repair func(context.Context) error,
	reg prometheus.Registerer, log zerolog.Logger,
) *Consumer {
	c := &Consumer{
		nc: nc, outbox: o, source: source, cfg: cfg, handler: h, repair: repair, log: log,
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
// not be cut in half, gives everything else back, and returns when the server has it or the connection
// is closed. Run is called once.
func (c *Consumer) Run(ctx context.Context) {
	beatCtx, stopBeats := context.WithCancel(context.WithoutCancel(ctx))
	var beats sync.WaitGroup
	beats.Go(func() { c.keepAlive(beatCtx) })

	c.pull(ctx)
	c.log.Info().Int("held", c.Held()).Msg("drain began")
	link := c.nc.Stats().Reconnects // nothing is given back before pulled is closed
	close(c.pulled)
	c.handlers.Wait()
	stopBeats()
	beats.Wait()
	c.handOver(context.WithoutCancel(ctx), link)
}

// handOver returns when the server has what was given back, or when the connection is closed. What was sent into a
// connection that broke may be lost, and is sent again: at worst a task changes its worker once more.
func (c *Consumer) handOver(ctx context.Context, link uint64) {
	for {
		err := c.outbox.Flush(flushTimeout)
		now := c.nc.Stats().Reconnects
		if err == nil && now == link { // all of it went over one connection
			c.log.Info().Msg("drain ended")
			return
		}
		link = now
		c.log.Warn().Err(err).Msg("tasks may not have been given back, trying on")
		for !c.nc.IsConnected() {
			if c.nc.IsClosed() {
				c.log.Warn().Msg("tasks were not given back: they move on after ACK_WAIT")
				return
			}
			wait(ctx, errorWait/10)
		}
		for _, reply := range c.returned() {
			c.answer(reply, nak)
		}
	}
}

// pull asks for requests, and for no more than there is room for, until ctx ends and the last pull has
// run out.
func (c *Consumer) pull(ctx context.Context) {
	failures := 0
	for {
		n, spare := c.room(ctx)
		if n == 0 {
			return
		}
		err := c.fetch(ctx, n, spare)
		if err == nil {
			failures = 0
			continue
		}
		failures++
		c.failed(ctx, err, failures)
	}
}

// failed waits before the next pull. One that fails is a server that goes; several in a row are a consumer
// that is gone.
func (c *Consumer) failed(ctx context.Context, err error, failures int) {
	c.metrics.pullErrors.Inc()
	c.log.Warn().Err(err).Int("in_a_row", failures).Msg("pull failed")
	wait(ctx, errorWait/2+rand.N(errorWait/2))
	if failures > 1 && c.nc.IsConnected() {
		_ = c.repair(ctx) // which tells what it finds
	}
}

func (c *Consumer) fetch(ctx context.Context, n int, spare bool) error {
	if !c.nc.IsConnected() {
		wait(ctx, errorWait/10)
		return nil
	}
	began := time.Now()
	batch, err := c.source.Fetch(min(n, pullMost), jetstream.FetchMaxWait(pullWait))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		if err := c.take(ctx, msg, began, spare); err != nil {
			c.log.Error().Err(err).Msg("message is no request's delivery")
		}
	}
	if err := batch.Error(); err != nil && c.nc.IsConnected() {
		return err
	}
	return nil
}

// take holds a request that was delivered after a moment and starts its handler. A delivery of one that is
// held already starts nothing: it brings a new subject to answer to.
func (c *Consumer) take(ctx context.Context, msg jetstream.Msg, after time.Time, spare bool) error {
	m, err := message(msg)
	if err != nil {
		return err
	}
	c.metrics.requests.Inc()
	if m.Deliveries > 1 {
		c.metrics.redeliveries.Inc()
	}
	if spare && !c.mayUseSpare(ctx, m) {
		c.answer(msg.Reply(), nak)
		return nil
	}
	l, isNew := c.lend(m.Seq, m.Stored, after, msg.Reply())
	if !isNew {
		return nil
	}
	m.Lapsed = func() bool { return c.lapsed(l) }
	c.serve(ctx, l, m)
	return nil
}

// serve runs the handler in a goroutine of its own. What is kept until it settles holds nothing of the message.
func (c *Consumer) serve(ctx context.Context, l *lease, m task.Message) {
	c.handlers.Add(1)
	var once sync.Once
	settle := func(verdict error) {
		once.Do(func() {
			defer c.handlers.Done()
			c.settle(ctx, l, verdict)
		})
	}
	go func() {
		if err := contain.Do(func() error { c.handler.Handle(ctx, m, settle); return nil }); err != nil {
			settle(err)
		}
	}()
}

// settle answers a request's delivery by the handler's verdict.
func (c *Consumer) settle(ctx context.Context, l *lease, verdict error) {
	_, panicked := errors.AsType[*contain.PanicError](verdict)
	if panicked {
		c.metrics.panics.Inc()
		c.log.Error().Err(verdict).Uint64("seq", l.seq).Msg("handler panicked: its request comes again")
	}
	returned := verdict != nil && ctx.Err() != nil && !errors.Is(verdict, task.ErrNotOwner)
	if returned {
		<-c.pulled // what is given back would come again through a pull of our own
	}
	reply, mine := c.release(l)
	switch {
	case reply == "":
		c.metrics.settle(gone)
		c.log.Warn().Uint64("seq", l.seq).Msg("the stream of a request was made anew")
	case verdict == nil:
		c.metrics.settle(done)
		c.answer(reply, ack)
	case errors.Is(verdict, task.ErrNotOwner), returned && !mine:
		c.metrics.settle(leftAlone)
		c.log.Info().Uint64("seq", l.seq).Msg("request may be another worker's and was left alone")
	case returned:
		c.metrics.settle(handedOver)
		c.giveBack(l, reply)
	case panicked:
		c.metrics.settle(failed)
	default:
		c.metrics.settle(failed)
		c.log.Error().Err(verdict).Uint64("seq", l.seq).Msg("request was left for a later delivery")
	}
}

// The answers to a delivery, as JetStream's protocol spells them.
const (
	ack        = "+ACK"
	nak        = "-NAK"
	inProgress = "+WPI"
)

// answer sends one. None is waited for: a lost ack brings the request back, and its record says that it
// is done.
func (c *Consumer) answer(reply, what string) { c.outbox.Send(reply, []byte(what)) }

// message reads a delivery.
func message(msg jetstream.Msg) (task.Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return task.Message{}, fmt.Errorf("read delivery: %w", err)
	}
	return task.Message{
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
