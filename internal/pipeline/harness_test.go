package pipeline_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/admission"
	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/consumer"
	"github.com/capstan-worker/capstan/internal/memory"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/pipeline"
	"github.com/capstan-worker/capstan/internal/poller"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/session"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/tracker"
)

// world is a NATS server with the streams, and the API's stand-in.
type world struct {
	t       *testing.T
	server  *natstest.Server
	js      jetstream.JetStream
	api     *anchortest.Server
	results publisher.ResultConfig
	dead    publisher.DeadConfig
	tracker tracker.Config
	keys    func() []string   // of the API; nil: none to be redacted
	clock   *servertime.Clock // of the workers; nil: the server's time is theirs

	postTimeout time.Duration // of the workers
	ackWait     time.Duration // of the workers
	reconnects  func() uint64 // of the workers; nil: never

	steering   pipeline.Steering // nil: nobody steers
	retryWait  time.Duration
	keepFailed bool
	secretsDir string

	sessions, liveView bool                 // of the workers
	sessionFresh       time.Duration        // of the workers
	log                zerolog.Logger       // of the workers; the zero value logs nothing
	registry           *prometheus.Registry // of the one worker; nil: each has its own
}

func newWorld(t *testing.T, opts ...anchortest.Option) *world {
	t.Helper()
	w := &world{
		t: t, server: natstest.Start(t), api: anchortest.New(opts...), sessionFresh: time.Minute,
		results: publisher.ResultConfig{Stream: "TASK_RESULTS", Subject: "tasks.result", Bucket: "task_results"},
		dead:    publisher.DeadConfig{Stream: "TASK_DEAD", Subject: "tasks.dead"},
		tracker: tracker.Config{Bucket: "task_tracker", TTL: time.Hour}, postTimeout: 100 * time.Millisecond,
	}
	err := w.api.Start("127.0.0.1:0")
	t.Cleanup(w.api.Close)
	_, w.js = w.server.Connect()
	for _, cfg := range []jetstream.StreamConfig{
		{Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardNew},
		{Name: w.results.Stream, Subjects: []string{w.results.Subject}, Duplicates: time.Hour},
		{Name: w.dead.Stream, Subjects: []string{w.dead.Subject}},
		{Name: w.tracker.Stream(), Subjects: []string{w.tracker.Subject(">")}, MaxMsgsPerSubject: 1, AllowMsgTTL: true, AllowRollup: true},
	} {
		natstest.Stream(t, w.js, cfg)
	}
	_, storeErr := w.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: w.results.Bucket})
	if err := errors.Join(err, storeErr); err != nil {
		t.Fatal(err)
	}
	return w
}

// worker returns the pipeline of a worker with these steps.
func (w *world) worker(name string, does steps) *pipeline.Pipeline {
	w.t.Helper()
	nc, js := w.server.Connect()
	reg, log := cmp.Or(w.registry, prometheus.NewRegistry()), w.log
	api, err := anchor.New(anchor.Config{BaseURL: w.api.URL(), APIKey: anchor.Secret(w.api.Key()), RequestTimeout: 5 * time.Second}, "test", reg)
	if err != nil {
		w.t.Fatal(err)
	}
	large, err := js.ObjectStore(w.t.Context(), w.results.Bucket)
	if err != nil {
		w.t.Fatal(err)
	}
	limit := rate.NewLimiter(rate.Inf, 0)
	batcher := natstest.Batcher(w.t, nc)
	p := parts{
		Tracker: tracker.New(batcher, w.stream(w.tracker.Stream()), "", w.tracker, nil, reg, log),
		Publisher: publisher.New(publisher.Parts{
			Conn: nc, JetStream: js, Batcher: batcher, Results: w.stream(w.results.Stream), Large: large, Index: memory.NewBudget(1 << 20),
		}, w.results, w.dead, reg, log),
		api: api, steps: does,
	}
	budgets := poller.Budgets{Polls: memory.NewBudget(1 << 26), Answers: memory.NewBudget(1 << 28)}
	polls := poller.New(poller.Config{Interval: 10 * time.Millisecond, MaxInterval: 50 * time.Millisecond}, p, budgets, limit, reg, log)
	return pipeline.New(w.config(name), pipeline.Parts{
		Requests:  consumer.NewRequests(w.stream("TASKS"), reg, log),
		Admission: admission.New(admission.Config{Concurrency: 2}, limit, reg, log),
		API:       p, Tracker: p, Poller: polls, Publisher: p, Steering: w.steering,
		Sessions: session.New(sessionCalls{api, does}, sessionWaits, limit, log),
	}, reg, log)
}

func (w *world) config(name string) pipeline.Config {
	return pipeline.Config{
		Worker: name, Defaults: task.Defaults{Timeout: time.Minute},
		PostTimeout: w.postTimeout, AckWait: w.ackWait, OwnerGrace: 100 * time.Millisecond, Clock: w.clock, Keys: w.keys, Reconnects: w.reconnects,
		RetryWait: w.retryWait, KeepFailed: w.keepFailed, SecretsDir: w.secretsDir,
		Sessions: w.sessions, SessionFresh: w.sessionFresh, LiveView: w.liveView,
	}
}

// handle returns the verdict on a delivery.
func handle(ctx context.Context, p *pipeline.Pipeline, d task.Delivery) (verdict error) {
	defer func() {
		if recover() != nil {
			verdict = errPanicked
		}
	}()
	return p.Handle(ctx, &d)
}

// finish lets a healthy worker handle a delivery, and fails the test if it does not.
func (w *world) finish(name string, d task.Delivery) {
	w.t.Helper()
	if err := handle(w.t.Context(), w.worker(name, healthy{}), d); err != nil {
		w.t.Fatal(err)
	}
}

// die lets a worker handle a delivery until it dies.
func (w *world) die(name string, d *death, delivery task.Delivery) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	d.died = cancel
	if err := handle(ctx, w.worker(name, d), delivery); err == nil || !d.dead {
		w.t.Fatalf("got %v, dead: %v, want %s to die", err, d.dead, name)
	}
}

// start lets the worker w1 handle a delivery until it stalls.
func (w *world) start(s stall, d task.Delivery) (verdict <-chan error) {
	w.t.Helper()
	p := w.worker("w1", s)
	verdicts := make(chan error, 1)
	go func() { verdicts <- handle(w.t.Context(), p, d) }()
	<-s.reached
	return verdicts
}

func (w *world) stream(name string) jetstream.Stream {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// request stores a request and returns its n-th delivery.
func (w *world) request(body string) func(n uint64) task.Delivery {
	w.t.Helper()
	ack, err := w.js.Publish(w.t.Context(), "tasks.request", []byte(body))
	if err != nil {
		w.t.Fatal(err)
	}
	msg, err := w.stream("TASKS").GetMsg(w.t.Context(), ack.Sequence)
	if err != nil {
		w.t.Fatal(err)
	}
	return func(n uint64) task.Delivery {
		return task.Delivery{Stream: "TASKS", Seq: msg.Sequence, Stored: msg.Time.UTC(), Deliveries: n, Header: msg.Header, Data: msg.Data}
	}
}

// body is a request of the task "a" with more fields, which begin with a comma.
func body(more string) string {
	return `{"task_id":"a","prompt":"a","url":"https://example.com"` + more + `}`
}

// planned is the same for a workflow that follows a plan.
func (w *world) planned(plan anchortest.Plan, more string) string {
	w.t.Helper()
	prompt, err := anchortest.Prompt("a", plan)
	if err != nil {
		w.t.Fatal(err)
	}
	quoted, err := json.Marshal(prompt)
	if err != nil {
		w.t.Fatal(err)
	}
	return `{"task_id":"a","prompt":` + string(quoted) + `,"url":"https://example.com"` + more + `}`
}

func (w *world) events() (all []task.Event) {
	w.t.Helper()
	for _, msg := range w.messages() {
		var ev task.Event
		if err := json.Unmarshal(msg.Data, &ev); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, ev)
	}
	return all
}

// messages returns the stored events as messages.
func (w *world) messages() []*jetstream.RawStreamMsg {
	w.t.Helper()
	return w.stored(w.results.Stream)
}

// stored returns the messages of a stream.
func (w *world) stored(stream string) (all []*jetstream.RawStreamMsg) {
	w.t.Helper()
	s := w.stream(stream)
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		msg, err := s.GetMsg(w.t.Context(), seq)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, msg)
	}
	return all
}

// wantOneEvent checks that there is one event, with this code or a success ("none"), and how many workflows were
// started. It returns the event.
func (w *world) wantOneEvent(want task.Code, workflows int) task.Event {
	w.t.Helper()
	events, accepted := w.events(), w.api.Totals().Accepted
	if len(events) != 1 {
		w.t.Fatalf("got %d events, want 1: %+v", len(events), events)
	}
	code := success
	if events[0].Error != nil {
		code = events[0].Error.Code
	}
	if code != want || accepted != workflows {
		w.t.Errorf("got %s after %d workflows, want %s after %d", code, accepted, want, workflows)
	}
	return events[0]
}

const success task.Code = "none" // of a task that succeeded

// bodies returns what was posted for the task, in order.
func (w *world) bodies() (all []map[string]any) {
	w.t.Helper()
	for _, log := range w.api.Logs() {
		for _, posted := range log.Bodies {
			var body map[string]any
			if err := json.Unmarshal(posted, &body); err != nil {
				w.t.Fatal(err)
			}
			all = append(all, body)
		}
	}
	return all
}

// records reads and writes records beside the workers.
func (w *world) records() *tracker.Tracker {
	w.t.Helper()
	nc, _ := w.server.Connect()
	return tracker.New(natstest.Batcher(w.t, nc), w.stream(w.tracker.Stream()), "", w.tracker, nil, prometheus.NewRegistry(), zerolog.Nop())
}

// put writes a value over the one in the bucket.
func (w *world) put(key string, value []byte) {
	w.t.Helper()
	if _, err := w.js.PublishMsg(w.t.Context(), &nats.Msg{Subject: w.tracker.Subject(key), Data: value}); err != nil {
		w.t.Fatal(err)
	}
}
