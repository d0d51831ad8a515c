package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/tracker"
)

var errDied = errors.New("the worker died")

// death is the moment at which a worker dies: at a step, before it happens or just after. A dead worker
// does nothing more.
type death struct {
	step     string
	happened bool
	died     context.CancelFunc // may be nil

	mu   sync.Mutex
	dead bool
}

// steps is asked before each of a worker's steps, and does it.
type steps interface {
	do(step string, act func() error) error
}

// healthy is a worker that nothing happens to.
type healthy struct{}

func (healthy) do(_ string, act func() error) error { return act() }

// stall is a worker that is stopped before a step, or right after it, until it is told to go on.
type stall struct {
	step          string
	after         bool
	reached, goOn chan struct{}
}

func (s stall) do(step string, act func() error) error {
	if step != s.step {
		return act()
	}
	if !s.after {
		close(s.reached)
		<-s.goOn
		return act()
	}
	err := act()
	close(s.reached)
	<-s.goOn
	return err
}

func (d *death) do(step string, act func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDied
	}
	if step != d.step {
		return act()
	}
	d.dead = true
	if d.happened {
		_ = act()
	}
	if d.died != nil {
		d.died()
	}
	return errDied
}

// mortal is what a worker does to the world, until it dies.
type mortal struct {
	*tracker.Tracker
	*publisher.Publisher
	api *anchor.Client
	steps
}

func (m mortal) Create(ctx context.Context, rec task.Record) (out task.Record, err error) {
	err = m.do("create", func() (err error) { out, err = m.Tracker.Create(ctx, rec); return err })
	return out, err
}

func (m mortal) Save(ctx context.Context, rec task.Record) (out task.Record, err error) {
	err = m.do("save "+string(rec.State), func() (err error) { out, err = m.Tracker.Save(ctx, rec); return err })
	return out, err
}

func (m mortal) SaveDeliveries(ctx context.Context, d task.DeliveryCount) error {
	return m.do(fmt.Sprint("count ", d.Count), func() error { return m.Tracker.SaveDeliveries(ctx, d) })
}

func (m mortal) Publish(ctx context.Context, msg task.Delivery, ev task.Event, again bool) (out task.Event, seq uint64, err error) {
	err = m.do("publish", func() (err error) { out, seq, err = m.Publisher.Publish(ctx, msg, ev, again); return err })
	return out, seq, err
}

func (m mortal) PublishPerRequest(ctx context.Context, msg task.Delivery, ev task.Event, again bool) error {
	return m.do("publish aside", func() error { return m.Publisher.PublishPerRequest(ctx, msg, ev, again) })
}

func (m mortal) Replay(ctx context.Context, msg task.Delivery, id string, seq uint64) error {
	return m.do("replay", func() error { return m.Publisher.Replay(ctx, msg, id, seq) })
}

func (m mortal) DeadLetter(ctx context.Context, msg task.Delivery, data []byte, reason string) error {
	return m.do("bury", func() error { return m.Publisher.DeadLetter(ctx, msg, data, reason) })
}

func (m mortal) Submit(ctx context.Context, session string, body []byte) (id string, err error) {
	err = m.do("submit", func() (err error) { id, err = m.api.Submit(ctx, session, body); return err })
	return id, err
}

func (m mortal) Status(ctx context.Context, id string, most int64) (wf task.Workflow, err error) {
	err = m.do("status", func() (err error) { wf, err = m.api.Status(ctx, id, most); return err })
	return wf, err
}

func (m mortal) Timeout() time.Duration { return m.api.Timeout() }

// world is a NATS server with the streams, and the API's stand-in.
type world struct {
	t       *testing.T
	server  *natstest.Server
	js      jetstream.JetStream
	api     *anchortest.Server
	results publisher.ResultConfig
	dead    publisher.DeadConfig
	tracker tracker.Config
	keys    func() []string // of the API; nil: none to be redacted
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, server: natstest.Start(t), api: anchortest.New(),
		results: publisher.ResultConfig{Stream: "TASK_RESULTS", Subject: "tasks.result", Bucket: "task_results"},
		dead:    publisher.DeadConfig{Stream: "TASK_DEAD", Subject: "tasks.dead"},
		tracker: tracker.Config{Bucket: "task_tracker", TTL: time.Hour},
	}
	if err := w.api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
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
	if _, err := w.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: w.results.Bucket}); err != nil {
		t.Fatal(err)
	}
	return w
}

// worker returns the pipeline of a worker that does its steps so.
func (w *world) worker(name string, does steps) *pipeline.Pipeline {
	w.t.Helper()
	return w.workerWith(name, does, nil)
}

// workerWith does the same with a clock.
func (w *world) workerWith(name string, does steps, clock *servertime.Clock) *pipeline.Pipeline {
	w.t.Helper()
	nc, js := w.server.Connect()
	reg, log := prometheus.NewRegistry(), zerolog.Nop()
	api, err := anchor.New(anchor.Config{BaseURL: w.api.URL(), APIKey: anchor.Secret(w.api.Key()), RequestTimeout: 5 * time.Second}, "test", reg)
	if err != nil {
		w.t.Fatal(err)
	}
	large, err := js.ObjectStore(w.t.Context(), w.results.Bucket)
	if err != nil {
		w.t.Fatal(err)
	}
	limit := rate.NewLimiter(rate.Inf, 0)
	out := natstest.Batcher(w.t, nc)
	m := mortal{
		Tracker: tracker.New(out, w.stream(w.tracker.Stream()), w.tracker, reg, log),
		Publisher: publisher.New(publisher.Parts{
			Conn: nc, JetStream: js, Batcher: out, Results: w.stream(w.results.Stream), Large: large, Index: memory.NewBudget(1 << 20),
		}, w.results, w.dead, reg, log),
		api: api, steps: does,
	}
	budgets := poller.Budgets{Polls: memory.NewBudget(1 << 26), Answers: memory.NewBudget(1 << 28)}
	polls := poller.New(poller.Config{Interval: 10 * time.Millisecond, MaxInterval: 50 * time.Millisecond}, m, budgets, limit, reg, log)
	cfg := pipeline.Config{
		Worker: name, Defaults: task.Defaults{Timeout: time.Minute},
		PostTimeout: 100 * time.Millisecond, OwnerGrace: 100 * time.Millisecond, Clock: clock, Keys: w.keys,
	}
	return pipeline.New(cfg, pipeline.Parts{
		Requests:  consumer.NewRequests(w.stream("TASKS"), reg, log),
		Admission: admission.New(admission.Config{Concurrency: 2}, limit, reg, log),
		API:       m, Tracker: m, Poller: polls, Publisher: m,
	}, reg, log)
}

// dieWhileItRuns lets a worker begin a task and die when it asks after its workflow.
func (w *world) dieWhileItRuns(clock *servertime.Clock, m task.Delivery) {
	w.t.Helper()
	ctx, died := context.WithCancel(w.t.Context()) // one that is dead would poll for ever
	d := &death{step: "status", died: died}
	if err := handle(ctx, w.workerWith("dead", d, clock), m); err == nil || !d.dead {
		w.t.Fatalf("got %v, want the worker to die", err)
	}
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

func (w *world) events() []task.Event {
	w.t.Helper()
	s := w.stream(w.results.Stream)
	var all []task.Event
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		msg, err := s.GetMsg(w.t.Context(), seq)
		if err != nil {
			w.t.Fatal(err)
		}
		var ev task.Event
		if err := json.Unmarshal(msg.Data, &ev); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, ev)
	}
	return all
}

const request = `{"task_id":"a","prompt":"a","url":"https://example.com"%s}`

// A worker dies at every step, before the step happens and just after, and another gets the request. And
// then a third, because the second's acknowledgement is lost too.
func TestWhereverAWorkerDiesTheTaskEndsOnceWithOneEvent(t *testing.T) {
	t.Parallel()
	const unknown = task.SubmissionUnknown
	for _, c := range []struct {
		step     string
		happened bool
		first    anchortest.Fault // of the first submission
		resubmit bool
		code     task.Code // of the event, "" for success
		accepted int
		then     *death // of the next worker, too
	}{
		{step: "create"}, // nothing is known of it yet: it runs
		{step: "create", happened: true, code: unknown},
		{step: "create", happened: true, resubmit: true},
		{step: "submit", code: unknown},
		{step: "submit", happened: true, code: unknown, accepted: 1},
		{step: "submit", happened: true, resubmit: true, accepted: 2},
		{step: "save running", code: unknown, accepted: 1},
		{step: "save running", resubmit: true, accepted: 2},
		{step: "save running", happened: true},
		{step: "status"},
		{step: "status", happened: true},
		{step: "publish"},
		{step: "publish", happened: true},
		{step: "save succeeded"},
		{step: "save succeeded", happened: true},
		{step: "save waiting", first: anchortest.Unavailable(1), code: unknown},
		{step: "save waiting", happened: true, first: anchortest.Unavailable(1)},
		{step: "save submitting", first: anchortest.Unavailable(1)},
		{step: "save submitting", happened: true, first: anchortest.Unavailable(1), code: unknown},
		{step: "save failed", first: anchortest.Fault{Status: 400}, code: task.Rejected},
		{step: "save failed", happened: true, first: anchortest.Fault{Status: 400}, code: task.Rejected},
		{step: "submit", happened: true, resubmit: true, code: unknown, accepted: 2, then: &death{step: "submit", happened: true}},
		{step: "submit", happened: true, resubmit: true, accepted: 2, then: &death{step: "save waiting", happened: true}},
		{step: "submit", happened: true, resubmit: true, accepted: 2, then: &death{step: "save waiting"}},
		{step: "save running", happened: true, then: &death{step: "save running"}},
		{step: "save running", happened: true, then: &death{step: "save running", happened: true}},
		{step: "publish", happened: true, then: &death{step: "publish", happened: true}},
	} {
		name := fmt.Sprintf("%s, happened %v, resubmit %v", c.step, c.happened, c.resubmit)
		if c.then != nil {
			name += fmt.Sprintf(", then %s, happened %v", c.then.step, c.then.happened)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			plan := anchortest.Plan{Run: 30 * time.Millisecond}
			if c.first.Status != 0 {
				plan.Submit = []anchortest.Fault{c.first}
			}
			prompt, err := anchortest.Prompt("a", plan)
			if err != nil {
				t.Fatal(err)
			}
			quoted, _ := json.Marshal(prompt)
			more := ""
			if c.resubmit {
				more = `,"on_unknown_submission":"resubmit"`
			}
			deliver := w.request(fmt.Sprintf(`{"task_id":"a","prompt":%s,"url":"https://example.com"%s}`, quoted, more))

			deaths := []*death{{step: c.step, happened: c.happened}}
			if c.then != nil {
				deaths = append(deaths, c.then)
			}
			n := uint64(0)
			for _, d := range deaths {
				n++
				var ctx context.Context
				ctx, d.died = context.WithCancel(t.Context()) // one that is dead would poll for ever
				if err := handle(ctx, w.worker(fmt.Sprint("w", n), d), deliver(n)); err == nil || !d.dead {
					t.Fatalf("worker %d: got %v, dead %v, want it to die", n, err, d.dead)
				}
			}
			for range 2 {
				n++
				if err := handle(t.Context(), w.worker("last", healthy{}), deliver(n)); err != nil {
					t.Fatalf("delivery %d: %v", n, err)
				}
			}
			events := w.events()
			if len(events) != 1 {
				t.Fatalf("got %d events, want 1: %+v", len(events), events)
			}
			var code task.Code
			if events[0].Error != nil {
				code = events[0].Error.Code
			}
			accepted := w.api.Accepted(prompt)
			if want := max(c.accepted, wantAccepted(c.code)); code != c.code || accepted != want {
				t.Errorf("got code %q and %d accepted, want %q and %d", code, accepted, c.code, want)
			}
		})
	}
}

// wantAccepted is how often a task is accepted that ends so: a task that succeeds was accepted.
func wantAccepted(code task.Code) int {
	if code == "" {
		return 1
	}
	return 0
}

func TestWhereverAWorkerDiesABrokenRequestIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"bury", "publish"} {
		for _, happened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, happened %v", step, happened), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				deliver := w.request(`{"task_id":"a"}`)
				if err := handle(t.Context(), w.worker("w1", &death{step: step, happened: happened}), deliver(1)); err == nil {
					t.Fatal("the first worker did not die")
				}
				for n := range uint64(2) {
					if err := handle(t.Context(), w.worker("w2", healthy{}), deliver(n+2)); err != nil {
						t.Fatal(err)
					}
				}
				letters := w.stream(w.dead.Stream).CachedInfo().State.Msgs
				if events := w.events(); len(events) != 1 || letters != 1 {
					t.Errorf("got %d events and %d dead letters, want one of each", len(events), letters)
				}
			})
		}
	}
}

func TestWhereverAWorkerDiesARepeatedRequestIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	for step, body := range map[string]string{
		"publish aside": fmt.Sprintf(request, `,"max_steps":3`), // other content: duplicate_task
		"replay":        fmt.Sprintf(request, ""),
	} {
		for _, happened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, happened %v", step, happened), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				if err := handle(t.Context(), w.worker("w1", healthy{}), w.request(fmt.Sprintf(request, ""))(1)); err != nil {
					t.Fatal(err)
				}
				deliver := w.request(body)
				if err := handle(t.Context(), w.worker("w1", &death{step: step, happened: happened}), deliver(1)); err == nil {
					t.Fatal("the first worker did not die")
				}
				for n := range uint64(2) {
					if err := handle(t.Context(), w.worker("w2", healthy{}), deliver(n+2)); err != nil {
						t.Fatal(err)
					}
				}
				if events := w.events(); len(events) != 2 || w.api.Accepted("a") != 1 {
					t.Errorf("got %d events and %d runs, want two and one", len(events), w.api.Accepted("a"))
				}
			})
		}
	}
}

// A copy whose original is gone from the stream takes its place, or the task would never have an event.
func TestACopyOfATaskWhoseRequestIsGoneTakesItOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	original := w.request(fmt.Sprintf(request, ""))
	ctx, cancel := context.WithCancel(t.Context())
	d := &death{step: "status", died: cancel}
	if err := handle(ctx, w.worker("w1", d), original(1)); err == nil {
		t.Fatal("the first worker did not die")
	}
	if err := w.stream("TASKS").DeleteMsg(t.Context(), original(1).Seq); err != nil {
		t.Fatal(err)
	}
	if err := handle(t.Context(), w.worker("w2", healthy{}), w.request(fmt.Sprintf(request, ""))(1)); err != nil {
		t.Fatal(err)
	}
	if events := w.events(); len(events) != 1 || events[0].Status != task.Succeeded || w.api.Accepted("a") != 1 {
		t.Errorf("got %+v after %d runs, want one success", events, w.api.Accepted("a"))
	}
}

// stallThenLose stalls a worker at a step until another has ended its task and the results stream has
// forgotten that, and returns the verdict of the one that was stalled. It notices the stall, or not.
func (w *world) stallThenLose(step string, after, notices bool) error {
	w.t.Helper()
	w.forgetAfter(200 * time.Millisecond)
	deliver := w.request(fmt.Sprintf(request, ""))
	first := deliver(1)
	var lapsed atomic.Bool
	first.LeaseExpired = lapsed.Load
	slow := stall{step: step, after: after, reached: make(chan struct{}), goOn: make(chan struct{})}
	verdict := make(chan error, 1)
	w1 := w.worker("w1", slow)
	go func() { verdict <- handle(w.t.Context(), w1, first) }()
	<-slow.reached
	if err := handle(w.t.Context(), w.worker("w2", healthy{}), deliver(2)); err != nil {
		w.t.Fatal(err)
	}
	forget := time.NewTimer(500 * time.Millisecond)
	<-forget.C
	lapsed.Store(notices)
	close(slow.goOn)
	return <-verdict
}

// forgetAfter makes the duplicate window of the results stream short.
func (w *world) forgetAfter(window time.Duration) {
	w.t.Helper()
	cfg := w.stream(w.results.Stream).CachedInfo().Config
	cfg.Duplicates = window
	if _, err := w.js.UpdateStream(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

// Whoever was not able to keep its request alive may have lost it: it looks before it publishes.
func TestALapsedOwnerIsSilentOnceAnotherHasTheTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.stallThenLose("status", false, true); !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	if events := w.events(); len(events) != 1 || events[0].Worker != "w2" {
		t.Errorf("got %+v, want one event of w2", events)
	}
}

// And it looks before it posts: the task may have ended as submission_unknown meanwhile.
func TestALapsedOwnerDoesNotSubmitOnceAnotherHasTheTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.stallThenLose("create", true, true); !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	if events := w.events(); len(events) != 1 || events[0].Error == nil || events[0].Error.Code != task.SubmissionUnknown {
		t.Errorf("got %+v, want one event of w2: submission_unknown", events)
	}
	if got := w.api.Log("a").Posts; got != 0 {
		t.Errorf("got %d POSTs of a task that had ended, want none", got)
	}
}

// The event of an earlier owner is found also when the stream has forgotten its id.
func TestATaskThatIsTakenOverLongAfterItsEventHasOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.forgetAfter(200 * time.Millisecond)
	deliver := w.request(fmt.Sprintf(request, ""))
	if err := handle(t.Context(), w.worker("w1", &death{step: "save succeeded"}), deliver(1)); err == nil {
		t.Fatal("the first worker did not die")
	}
	forget := time.NewTimer(500 * time.Millisecond)
	<-forget.C
	if err := handle(t.Context(), w.worker("w2", healthy{}), deliver(2)); err != nil {
		t.Fatal(err)
	}
	if events := w.events(); len(events) != 1 {
		t.Errorf("got %d events, want 1", len(events))
	}
}

// The request of a running task is removed by hand, and a copy takes over while its holder lives: two
// workers end one workflow, with one event.
func TestACopyThatTakesOverALiveTaskMakesNoSecondEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	original := w.request(fmt.Sprintf(request, ""))
	slow := stall{step: "status", reached: make(chan struct{}), goOn: make(chan struct{})}
	verdict := make(chan error, 1)
	w1 := w.worker("w1", slow)
	go func() { verdict <- handle(t.Context(), w1, original(1)) }()
	<-slow.reached
	if err := w.stream("TASKS").DeleteMsg(t.Context(), original(1).Seq); err != nil {
		t.Fatal(err)
	}
	if err := handle(t.Context(), w.worker("w2", healthy{}), w.request(fmt.Sprintf(request, ""))(1)); err != nil {
		t.Fatal(err)
	}
	close(slow.goOn)
	if err := <-verdict; !errors.Is(err, task.ErrNotOwner) {
		t.Errorf("got %v, want ErrNotOwner", err)
	}
	if events := w.events(); len(events) != 1 || w.api.Accepted("a") != 1 {
		t.Errorf("got %d events of %d runs, want one of one", len(events), w.api.Accepted("a"))
	}
}

// The repetition of a submission whose outcome is unknown is not accepted in time: the first may be running,
// and the event says so.
func TestARepetitionThatExpiresLeavesTheFirstUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	prompt, err := anchortest.Prompt("a", anchortest.Plan{Submit: []anchortest.Fault{
		anchortest.Reset().ButAccepted(), anchortest.RateLimited(60),
	}})
	if err != nil {
		t.Fatal(err)
	}
	quoted, err := json.Marshal(prompt)
	if err != nil {
		t.Fatal(err)
	}
	deliver := w.request(fmt.Sprintf(`{"task_id":"a","prompt":%s,"url":"https://example.com","on_unknown_submission":"resubmit","expires_at":%q}`,
		quoted, time.Now().Add(4*time.Second).Format(time.RFC3339Nano)))
	if err := handle(t.Context(), w.worker("w1", healthy{}), deliver(1)); err != nil {
		t.Fatal(err)
	}
	if events := w.events(); len(events) != 1 || events[0].Error == nil || events[0].Error.Code != task.SubmissionUnknown {
		t.Errorf("got %+v, want submission_unknown", events)
	}
}

// errPanicked is the verdict of a handler that panicked, as the consumer would give it.
var errPanicked = errors.New("panicked")

// handle returns the verdict on a request.
func handle(ctx context.Context, p *pipeline.Pipeline, m task.Delivery) (verdict error) {
	defer func() {
		if recover() != nil {
			verdict = errPanicked
		}
	}()
	return p.Handle(ctx, &m)
}

// panicking is a worker that panics the first so many times that it comes to a step.
type panicking struct {
	step string
	left atomic.Int32
}

func (p *panicking) do(step string, act func() error) error {
	if step == p.step && p.left.Add(-1) >= 0 {
		panic("no such luck")
	}
	return act()
}

// A panic ends one task's handling, and the worker goes on: with all its places.
func TestAPanicGivesItsPlaceBack(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"create", "submit", "save running", "status", "publish", "save succeeded"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			const panics = 5 // there are fewer places
			w := newWorld(t)
			does := &panicking{step: step}
			does.left.Store(panics)
			p := w.worker("w1", does)
			for i := range panics {
				request := fmt.Sprintf(`{"task_id":"p%d","prompt":"a","url":"https://example.com"}`, i)
				if err := handle(t.Context(), p, w.request(request)(1)); !errors.Is(err, errPanicked) {
					t.Error("the panic was swallowed")
				}
			}
			if err := handle(t.Context(), p, w.request(fmt.Sprintf(request, ""))(1)); err != nil {
				t.Fatal(err)
			}
			if events := w.events(); events[len(events)-1].TaskID != "a" {
				t.Errorf("got %+v, want the event of the last task", events)
			}
		})
	}
}
