package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
	"weak"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ackWait = time.Second

// handler notes what it was given and holds it until it is told a verdict, or ctx ends.
type handler struct {
	mu       sync.Mutex
	calls    map[uint64]int
	lapsed   map[uint64]func() bool
	verdicts chan error
	read     func(*task.Delivery)    // what else to do with a request; may be nil
	bodies   chan weak.Pointer[byte] // of the requests, where a test wants to know; may be nil
}

func newHandler() *handler {
	return &handler{
		calls: map[uint64]int{}, lapsed: map[uint64]func() bool{}, verdicts: make(chan error),
	}
}

func (h *handler) Handle(ctx context.Context, m *task.Delivery) error {
	h.mu.Lock()
	h.calls[m.Seq]++
	h.lapsed[m.Seq] = m.LeaseExpired
	h.mu.Unlock()
	if string(m.Data) == "panic" {
		panic("as the request asked")
	}
	if h.bodies != nil {
		h.bodies <- weak.Make(unsafe.SliceData(m.Data))
	}
	m.Data = nil
	if h.read != nil {
		h.read(m)
	}
	select {
	case verdict := <-h.verdicts:
		return verdict
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *handler) seen() map[uint64]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.calls)
}

type harness struct {
	t       *testing.T
	server  *natstest.Server
	js      jetstream.JetStream
	source  jetstream.Consumer
	ackWait time.Duration
}

func newHarness(t *testing.T, requests int) *harness {
	t.Helper()
	return newHarnessWith(t, requests, ackWait)
}

func newHarnessWith(t *testing.T, requests int, ackWait time.Duration) *harness {
	t.Helper()
	h := &harness{t: t, server: natstest.Start(t), ackWait: ackWait}
	_, h.js = h.server.Connect()
	h.provision()
	for i := range requests {
		h.publish(fmt.Sprint(i))
	}
	return h
}

// provision makes the stream and the consumer.
func (h *harness) provision() {
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

// run starts a consumer on a connection of its own and returns a function that stops it and waits.
func (h *harness) run(handler consumer.Handler, maxInFlight int) (stop func()) {
	h.t.Helper()
	_, stop = h.runNoted(handler, maxInFlight)
	return stop
}

// runNoted does the same and notes the pulls.
func (h *harness) runNoted(handler consumer.Handler, maxInFlight int) (pulls *noted, stop func()) {
	h.t.Helper()
	nc, js := h.server.Connect()
	source, err := js.Consumer(h.t.Context(), "TASKS", "worker")
	if err != nil {
		h.t.Fatal(err)
	}
	pulls = &noted{Consumer: source}
	return pulls, h.runOn(nc, pulls, handler, maxInFlight)
}

// runOn starts a consumer on a connection and a source.
func (h *harness) runOn(nc *nats.Conn, source jetstream.Consumer, handler consumer.Handler, maxInFlight int) (stop func()) {
	h.t.Helper()
	cfg := consumer.Config{Consumer: "worker", MaxInFlight: maxInFlight, AckWait: h.ackWait}
	c := consumer.New(cfg, h.parts(nc, source, handler), prometheus.NewRegistry(), zerolog.Nop())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	h.t.Cleanup(stop)
	return stop
}

// parts are what a consumer on a connection and a source works with.
func (h *harness) parts(nc *nats.Conn, source jetstream.Consumer, handler consumer.Handler) consumer.Parts {
	h.t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		h.t.Fatal(err)
	}
	stream, err := js.Stream(h.t.Context(), "TASKS")
	if err != nil {
		h.t.Fatal(err)
	}
	return consumer.Parts{
		Conn: nc, Batcher: natstest.Batcher(h.t, nc), Source: source, Handler: handler,
		Stream: consumer.NewRequests(stream, prometheus.NewRegistry(), zerolog.Nop()),
		Memory: memory.NewBudget(1 << 30), Pulled: func(context.Context, error) {},
	}
}

func (h *harness) info() *jetstream.ConsumerInfo {
	h.t.Helper()
	info, err := h.source.Info(h.t.Context())
	if err != nil {
		h.t.Fatal(err)
	}
	return info
}

// waitHeld waits until a handler holds that many requests.
func (h *harness) waitHeld(handler *handler, want int) {
	h.t.Helper()
	natstest.Eventually(h.t, func() error {
		if got := len(handler.seen()); got != want {
			return fmt.Errorf("got %d requests held, want %d", got, want)
		}
		return nil
	})
}

// answers records what is answered to deliveries, as the server sees it.
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

func TestADoneRequestIsAcknowledged(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 1)
	handler := newHandler()
	h.run(handler, 10)
	handler.verdicts <- nil
	natstest.Eventually(t, func() error {
		if info := h.info(); info.NumAckPending != 0 || info.NumPending != 0 || info.AckFloor.Stream != 1 {
			return fmt.Errorf("got %d un-acked and %d pending, want none", info.NumAckPending, info.NumPending)
		}
		return nil
	})
}

// Trap 7: what is prefetched ages behind a full worker.
func TestAWorkerPullsNoMoreThanItHasRoomFor(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 20)
	handler := newHandler()
	h.run(handler, 5)
	h.waitHeld(handler, 5)
	if got := h.info().NumAckPending; got != 5 {
		t.Errorf("got %d in flight, want 5", got)
	}
	handler.verdicts <- nil
	h.waitHeld(handler, 6)
	if got := h.info().NumAckPending; got != 5 {
		t.Errorf("got %d in flight after one was done, want 5", got)
	}
}

// Traps 4 and 6: heartbeats come in time, and in one burst.
func TestHeldRequestsAreKeptAliveInBursts(t *testing.T) {
	t.Parallel()
	const held = 200
	h := newHarness(t, held)
	answers := h.answers()
	handler := newHandler()
	h.run(handler, 2*held)
	h.waitHeld(handler, held)
	natstest.Eventually(t, func() error {
		if n := len(answers()); n < 9*held {
			return fmt.Errorf("got %d heartbeats, want %d", n, 9*held)
		}
		return nil
	})
	for seq, calls := range handler.seen() {
		if calls != 1 {
			t.Errorf("request %d was handled %d times in spite of heartbeats", seq, calls)
		}
	}
	gaps := 0
	all := answers()
	for i := 1; i < len(all); i++ {
		if all[i].at.Sub(all[i-1].at) > ackWait/10 {
			gaps++
		}
	}
	if bursts := gaps + 1; bursts > len(all)/held+2 {
		t.Errorf("got %d heartbeats in %d bursts, want %d", len(all), bursts, len(all)/held)
	}
}

// Trap 5: nothing is ever given back with a delay.
func TestADrainGivesEverythingBackAtOnce(t *testing.T) {
	t.Parallel()
	const held = 100
	h := newHarnessWith(t, held, time.Minute)
	answers := h.answers()
	first, second := newHandler(), newHandler()
	stop := h.run(first, 2*held)
	h.waitHeld(first, held)
	h.run(second, 2*held)
	began := time.Now()
	stop()
	h.waitHeld(second, held)
	if took := time.Since(began); took > h.ackWait/2 {
		t.Errorf("the other worker had all after %v: only ACK_WAIT brought them", took)
	}
	natstest.Eventually(t, func() error { // the listener may be behind
		naks := 0
		for _, a := range answers() {
			switch a.what {
			case "-NAK":
				naks++
			case "+WPI":
			default:
				t.Errorf("got answer %q", a.what)
			}
		}
		if naks != held {
			return fmt.Errorf("got %d NAKs, want %d", naks, held)
		}
		return nil
	})
}

func TestARequestOfAnotherWorkerIsLeftAlone(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 1)
	answers := h.answers()
	handler := newHandler()
	h.run(handler, 10)
	handler.verdicts <- task.ErrNotOwner
	natstest.Eventually(t, func() error { // it comes again by itself, since nobody keeps it alive
		if handler.seen()[1] < 2 {
			return errors.New("not delivered again")
		}
		return nil
	})
	if got := answers(); len(got) > 0 && got[0].what != "+WPI" {
		t.Errorf("got answer %q, want none", got[0].what)
	}
}

func TestAPanicIsContainedAndTheRequestComesBack(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 0)
	h.publish("panic")
	h.publish("calm")
	handler := newHandler()
	h.run(handler, 10)
	natstest.Eventually(t, func() error {
		if seen := handler.seen(); seen[1] < 2 || seen[2] != 1 {
			return fmt.Errorf("got handled %v, want 1 twice and 2 once", seen)
		}
		return nil
	})
}

// late panics when it is told to give its request back.
type late struct{ held chan struct{} }

func (l *late) Handle(ctx context.Context, _ *task.Delivery) error {
	l.held <- struct{}{}
	<-ctx.Done()
	panic("as it was told to stop")
}

func TestAPanicInADrainIsCountedAndTheDrainEnds(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 1)
	nc, _ := h.server.Connect()
	reg := prometheus.NewRegistry()
	handler := &late{held: make(chan struct{}, 1)}
	cfg := consumer.Config{Consumer: "worker", MaxInFlight: 10, AckWait: h.ackWait}
	c := consumer.New(cfg, h.parts(nc, h.source, handler), reg, zerolog.Nop())
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-handler.held
		cancel()
	}()
	c.Run(ctx)
	const want = `
# HELP capstan_handler_panics_total Panics contained to one request.
# TYPE capstan_handler_panics_total counter
capstan_handler_panics_total 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "capstan_handler_panics_total"); err != nil {
		t.Error(err)
	}
}

// Trap 3: after a long outage everything is delivered again, also to those who still hold it.
func TestAnOutageLongerThanAckWaitStartsNothingAgain(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 3)
	handler := newHandler()
	h.run(handler, 10)
	h.waitHeld(handler, 3)
	h.server.Stop()
	wait := time.NewTimer(2 * ackWait)
	<-wait.C
	h.server.Restart()
	natstest.Eventually(t, func() error {
		if n := h.info().NumRedelivered; n != 3 {
			return fmt.Errorf("got %d delivered again, want 3", n)
		}
		return nil
	})
	for seq, calls := range handler.seen() {
		if calls != 1 || !handler.lapsed[seq]() {
			t.Errorf("request %d: handled %d times, lapsed %v, want once and lapsed", seq, calls, handler.lapsed[seq]())
		}
	}
	for range 3 {
		handler.verdicts <- nil
	}
	natstest.Eventually(t, func() error {
		if n := h.info().NumAckPending; n != 0 {
			return fmt.Errorf("got %d un-acked, want none", n)
		}
		return nil
	})
}

// A stream that was deleted and made again counts from 1 anew. The request that has an old sequence now is
// another one.
func TestARequestOfAStreamMadeAnewIsHandled(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, 1, time.Minute)
	handler := newHandler()
	h.run(handler, 10)
	h.waitHeld(handler, 1)
	if err := h.js.DeleteStream(t.Context(), "TASKS"); err != nil {
		t.Fatal(err)
	}
	h.provision()
	h.publish("another")
	natstest.Eventually(t, func() error {
		if got := handler.seen()[1]; got != 2 {
			return fmt.Errorf("got %d requests with sequence 1 handled, want 2", got)
		}
		return nil
	})
	handler.verdicts <- nil
	handler.verdicts <- nil
	natstest.Eventually(t, func() error {
		if info := h.info(); info.NumAckPending != 0 || info.AckFloor.Stream != 1 {
			return fmt.Errorf("got %d un-acked, want none", info.NumAckPending)
		}
		return nil
	})
}

func TestTheMessageIsLetGoWhileItsTaskRuns(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, 0, time.Minute)
	for range 5 {
		h.publish(strings.Repeat("x", 100)) // smaller values share their memory with others, and live as long as those
	}
	handler := newHandler()
	handler.bodies = make(chan weak.Pointer[byte], 5)
	h.run(handler, 10)
	for range 5 {
		body := <-handler.bodies
		natstest.Eventually(t, func() error {
			runtime.GC()
			if body.Value() != nil {
				return errors.New("the body of a request is held while its task runs")
			}
			return nil
		})
	}
}

// The server counts a lease from the moment it sent the delivery. A worker that stood still before it read
// that must not believe in a longer one.
func TestALeaseCountsFromThePull(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 1)
	nc, js := h.server.Connect()
	source, err := js.Consumer(t.Context(), "TASKS", "worker")
	if err != nil {
		t.Fatal(err)
	}
	handler := newHandler()
	h.runOn(nc, stalled{source, h.ackWait}, handler, 10)
	h.waitHeld(handler, 1)
	handler.mu.Lock()
	defer handler.mu.Unlock()
	if !handler.lapsed[1]() {
		t.Error("a delivery that is older than ACK_WAIT is taken for a lease")
	}
}

// stalled is a consumer whose deliveries are read long after they came.
type stalled struct {
	jetstream.Consumer
	during time.Duration
}

func (s stalled) Fetch(n int, opts ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	batch, err := s.Consumer.Fetch(n, opts...)
	still := time.NewTimer(s.during)
	<-still.C
	return batch, err
}

// The client keeps what comes for a pull in a buffer, and drops what does not fit.
func TestAPullAsksForNoMoreThanTheClientCanHold(t *testing.T) {
	t.Parallel()
	const requests, largest = 1000, 64
	h := newHarness(t, requests)
	handler := newHandler()
	pulls, _ := h.runNoted(handler, 2*requests)
	h.waitHeld(handler, requests)
	if got := pulls.most.Load(); got > largest {
		t.Errorf("got a pull of %d, want %d at most", got, largest)
	}
}

// A pull costs more than a request, so that no more than one in 20 ms asks for little.
func TestSlotsThatAreFreedOneByOneAreFilledTogether(t *testing.T) {
	t.Parallel()
	const held, freed = 200, 50
	h := newHarness(t, held+freed)
	handler := newHandler()
	pulls, _ := h.runNoted(handler, 200)
	h.waitHeld(handler, held)
	before, began := pulls.count.Load(), time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range freed {
		<-tick.C
		handler.verdicts <- nil
	}
	h.waitHeld(handler, held+freed)
	most := 3 + time.Since(began).Milliseconds()/20
	if got := pulls.count.Load() - before; got > most {
		t.Errorf("got %d pulls for %d slots, want %d at most", got, freed, most)
	}
}

// Also not for a slot that was just freed, and waits for more of them.
func TestADrainPullsNoMore(t *testing.T) {
	t.Parallel()
	h := newHarness(t, 220)
	handler := newHandler()
	pulls, stop := h.runNoted(handler, 200)
	h.waitHeld(handler, 200)
	before, began := pulls.count.Load(), time.Now()
	handler.verdicts <- nil
	<-time.After(5 * time.Millisecond)
	soon := time.Since(began) < 15*time.Millisecond // else it may have pulled before
	stop()
	if got := pulls.count.Load() - before; got > 0 && soon {
		t.Errorf("got %d pulls, want none", got)
	}
}

// noted is a consumer that notes how many pulls there are, and the largest.
type noted struct {
	jetstream.Consumer
	most, count atomic.Int64
}

func (n *noted) Fetch(size int, opts ...jetstream.FetchOpt) (jetstream.MessageBatch, error) {
	n.count.Add(1)
	n.most.Store(max(n.most.Load(), int64(size)))
	return n.Consumer.Fetch(size, opts...)
}
