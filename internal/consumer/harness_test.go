package consumer_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) {
	natstest.SideBySide(8)
	goleak.VerifyTestMain(m)
}

// shortLease is the ACK_WAIT of tests that wait until a lease expires, or that need all requests: a pull that a busy
// machine cuts off leaves some of them for ACK_WAIT to bring back. longLease is that of tests in which none may expire.
const (
	shortLease = time.Second
	longLease  = time.Minute
)

// harness is a NATS server with a request stream and the workers' consumer.
type harness struct {
	t       *testing.T
	server  *natstest.Server
	js      jetstream.JetStream
	source  jetstream.Consumer
	ackWait time.Duration
}

// newHarness returns a harness whose stream holds this many requests.
func newHarness(t *testing.T, ackWait time.Duration, requests int) *harness {
	t.Helper()
	h := &harness{t: t, server: natstest.Start(t), ackWait: ackWait}
	_, h.js = h.server.Connect()
	h.createStream()
	for i := range requests {
		h.publish(fmt.Sprint(i))
	}
	return h
}

// createStream creates the stream and the consumer.
func (h *harness) createStream() {
	h.t.Helper()
	natstest.Stream(h.t, h.js, jetstream.StreamConfig{
		Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew,
	})
	var err error
	h.source, err = h.js.CreateConsumer(h.t.Context(), "TASKS", jetstream.ConsumerConfig{
		Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy, AckWait: h.ackWait, MaxDeliver: -1,
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) publish(data string) {
	h.t.Helper()
	if _, err := h.js.Publish(h.t.Context(), "tasks.request", []byte(data)); err != nil {
		h.t.Fatal(err)
	}
}

// info returns the state of the workers' consumer.
func (h *harness) info() *jetstream.ConsumerInfo {
	h.t.Helper()
	info, err := h.source.Info(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return info
}

// waitUnacked waits until the server counts that many requests as delivered and not acknowledged.
func (h *harness) waitUnacked(want int) {
	h.t.Helper()
	natstest.Eventually(h.t, func() error {
		if got := h.info().NumAckPending; got != want {
			return fmt.Errorf("got %d requests un-acked, want %d", got, want)
		}
		return nil
	})
}

// answers returns a function that returns the answers to deliveries so far, as the server receives them.
func (h *harness) answers() func() []answer {
	h.t.Helper()
	nc, _ := h.server.Connect()
	var mu sync.Mutex
	var all []answer
	_, err := nc.Subscribe("$JS.ACK.>", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, answer{what: string(m.Data), at: time.Now()})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		h.t.Fatal(err)
	}
	return func() []answer {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

type answer struct {
	what string
	at   time.Time
}

// worker is a running consumer.
type worker struct {
	t     *testing.T
	parts consumer.Parts
	reg   *prometheus.Registry
	stop  func() // ends its context and returns when Run has returned
}

// run runs a consumer on a connection of its own. change may replace some of its parts.
func (h *harness) run(handler consumer.Handler, maxInFlight int, change ...func(*consumer.Parts)) *worker {
	h.t.Helper()
	nc, js := h.server.Connect()
	source, err := js.Consumer(h.t.Context(), "TASKS", "worker")
	if err != nil {
		h.t.Fatal(err)
	}
	stream, err := js.Stream(h.t.Context(), "TASKS")
	if err != nil {
		h.t.Fatal(err)
	}
	w := &worker{t: h.t, reg: prometheus.NewRegistry()}
	w.parts = consumer.Parts{
		Conn: nc, Batcher: natstest.Batcher(h.t, nc), Source: source, Handler: handler,
		Stream: consumer.NewRequests(stream, prometheus.NewRegistry(), zerolog.Nop()),
		Memory: memory.NewBudget(1 << 30), Pulled: func(context.Context, error) {},
	}
	for _, c := range change {
		c(&w.parts)
	}
	cfg := consumer.Config{Consumer: "worker", MaxInFlight: maxInFlight, AckWait: h.ackWait}
	c := consumer.New(cfg, w.parts, w.reg, zerolog.Nop())
	ctx, cancel := context.WithCancel(context.Background())
	returned := make(chan struct{})
	go func() {
		defer close(returned)
		c.Run(ctx)
	}()
	w.stop = sync.OnceFunc(func() {
		cancel()
		<-returned
	})
	h.t.Cleanup(w.stop)
	return w
}

// waitMetric waits until a counter or gauge has a value. verdict is its label, or "" if it has none.
func (w *worker) waitMetric(name, verdict string, want float64) {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		if got := metric(w.t, w.reg, name, verdict); got != want {
			return fmt.Errorf("%s %s: got %v, want %v", name, verdict, got, want)
		}
		return nil
	})
}

// metric returns the value of a counter or gauge.
func metric(t *testing.T, reg *prometheus.Registry, name, verdict string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == name && (verdict == "" || m.Label[0].GetValue() == verdict) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("got no metric %s %s", name, verdict)
	return 0
}

// handler records the requests that it is given. Each call returns when the test sends a verdict, or when ctx ends.
type handler struct {
	verdicts chan error
	onHandle func(*task.Delivery) // called at first; may be nil

	mu      sync.Mutex
	calls   map[uint64]int         // by sequence; guarded by mu
	expired map[uint64]func() bool // by sequence; guarded by mu
}

func newHandler() *handler {
	return &handler{calls: map[uint64]int{}, expired: map[uint64]func() bool{}, verdicts: make(chan error)}
}

func (h *handler) Handle(ctx context.Context, d *task.Delivery) error {
	h.mu.Lock()
	h.calls[d.Seq]++
	h.expired[d.Seq] = d.LeaseExpired
	h.mu.Unlock()
	if h.onHandle != nil {
		h.onHandle(d)
	}
	d.Data = nil
	select {
	case verdict := <-h.verdicts:
		return verdict
	case <-ctx.Done():
		return ctx.Err()
	}
}

// handled returns how many times each request was handled.
func (h *handler) handled() map[uint64]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.calls)
}

// wait waits until the handler was given that many requests.
func (h *handler) wait(t *testing.T, want int) {
	t.Helper()
	natstest.Eventually(t, func() error {
		if got := len(h.handled()); got != want {
			return fmt.Errorf("got %d requests handled, want %d", got, want)
		}
		return nil
	})
}

// waitFirst waits until the request with sequence 1 was handled that many times.
func (h *handler) waitFirst(t *testing.T, want int) {
	t.Helper()
	natstest.Eventually(t, func() error {
		if got := h.handled()[1]; got != want {
			return fmt.Errorf("got the request handled %d times, want %d", got, want)
		}
		return nil
	})
}

// pulls is a pull consumer that records the number of pulls, and the largest.
type pulls struct {
	jetstream.Consumer
	largest, count atomic.Int64
}

// record makes a consumer's pulls recorded.
func (p *pulls) record(parts *consumer.Parts) {
	p.Consumer, parts.Source = parts.Source, p
}

func (p *pulls) Fetch(size int, opts ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	p.count.Add(1)
	p.largest.Store(max(p.largest.Load(), int64(size)))
	return p.Consumer.Fetch(size, opts...)
}
