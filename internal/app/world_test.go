package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// asWorker in the environment makes this test's binary a worker: one that a test can kill.
const asWorker = "CAPSTAN_TEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(asWorker) != "" {
		os.Exit(app.Main(nil, "test", os.Stdout, os.Stderr))
	}
	os.Exit(runTests(m))
}

// runTests runs several at once: they wait more than they work.
func runTests(m *testing.M) int {
	if err := flag.Set("test.parallel", "12"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// world is a NATS server, the API's stand-in and any number of workers.
type world struct {
	t    *testing.T
	nats *natstest.Server
	api  *anchortest.Server
	nc   *nats.Conn
	js   jetstream.JetStream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, nats: natstest.Start(t), api: anchortest.New()}
	if err := w.api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.api.Close)
	w.nc, w.js = w.nats.Connect()
	return w
}

// env is a worker's environment: quick where production is patient.
func (w *world) env(name string, extra ...string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), asWorker + "=1", "WORKER_NAME=" + name,
		"NATS_URL=" + w.nats.URL(), "ANCHORBROWSER_API_KEY=" + w.api.Key(), "ANCHORBROWSER_BASE_URL=" + w.api.URL(),
		"ANCHORBROWSER_REQUEST_TIMEOUT=2s", "ACK_WAIT=2s", "POLL_INTERVAL=50ms", "POLL_MAX_INTERVAL=250ms",
		"DRAIN_TIMEOUT=10s", "ADMIN_ADDR=127.0.0.1:0", "LOG_LEVEL=debug",
	}
	return append(env, extra...)
}

// worker is a worker's process.
type worker struct {
	t      *testing.T
	cmd    *exec.Cmd
	log    *buffer
	exited chan error
}

// start starts a worker and returns at once.
func (w *world) start(name string, extra ...string) *worker {
	w.t.Helper()
	p := &worker{t: w.t, log: &buffer{}, exited: make(chan error, 1)}
	p.cmd = exec.CommandContext(context.WithoutCancel(w.t.Context()), os.Args[0])
	p.cmd.Env = w.env(name, extra...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	w.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if w.t.Failed() {
			w.t.Logf("log of %s:\n%s", name, p.log.tail())
		}
	})
	return p
}

// startReady starts a worker and waits until it pulls.
func (w *world) startReady(name string, extra ...string) *worker {
	w.t.Helper()
	p := w.start(name, extra...)
	natstest.Eventually(w.t, func() error { return p.logged("worker is ready") })
	return p
}

func (p *worker) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// kill is kill -9.
func (p *worker) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	if err := <-p.exited; err == nil {
		p.t.Error("a killed worker exited with 0")
	}
}

// drain is what a deploy does. It fails the test unless the worker exits with 0.
func (p *worker) drain() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	p.waitExit()
}

// waitExit waits for the end of a worker that drains.
func (p *worker) waitExit() {
	p.t.Helper()
	if err := <-p.exited; err != nil {
		p.t.Errorf("worker exited with %v, want 0", err)
	}
}

func (p *worker) logged(text string) error {
	if !strings.Contains(p.log.String(), text) {
		return fmt.Errorf("the worker has not logged %q", text)
	}
	return nil
}

// publish publishes a request, with headers as names and values in turn.
func (w *world) publish(request string, headers ...string) {
	w.t.Helper()
	msg := &nats.Msg{Subject: "tasks.request", Header: nats.Header{}, Data: []byte(request)}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	if _, err := w.js.PublishMsg(w.t.Context(), msg); err != nil {
		w.t.Fatal(err)
	}
}

// submit publishes a request whose prompt carries a plan for the stand-in, under a task id.
func (w *world) submit(id string, plan anchortest.Plan, fields ...string) {
	w.t.Helper()
	prompt, err := json.Marshal(w.prompt(id, plan))
	if err != nil {
		w.t.Fatal(err)
	}
	more := strings.Join(append([]string{""}, fields...), ",")
	w.publish(fmt.Sprintf(`{"task_id":%q,"url":"https://example.com","prompt":%s%s}`, id, prompt, more))
}

func (w *world) prompt(id string, plan anchortest.Plan) string {
	w.t.Helper()
	prompt, err := anchortest.Prompt("do "+id, plan)
	if err != nil {
		w.t.Fatal(err)
	}
	return prompt
}

// seen returns what the stand-in was asked for a task.
func (w *world) seen(id string, plan anchortest.Plan) anchortest.Log {
	return w.api.Log(w.prompt(id, plan))
}

// waitAccepted waits until the stand-in has started a task's workflow.
func (w *world) waitAccepted(id string, plan anchortest.Plan) {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		if w.seen(id, plan).Accepted == 0 {
			return fmt.Errorf("task %s is not accepted yet", id)
		}
		return nil
	})
}

// stored is an event on the results stream.
type stored struct {
	task.Event
	header nats.Header
}

// events returns every event of the stream, oldest first.
func (w *world) events() []stored {
	w.t.Helper()
	var all []stored
	w.each("TASK_RESULTS", func(m *jetstream.RawStreamMsg) {
		ev := stored{header: m.Header}
		if err := json.Unmarshal(m.Data, &ev.Event); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, ev)
	})
	return all
}

// each calls f for every message of a stream; a stream that is not there yet has none.
func (w *world) each(stream string, f func(*jetstream.RawStreamMsg)) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	state := s.CachedInfo().State
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		msg, err := s.GetMsg(w.t.Context(), seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		f(msg)
	}
}

// waitEvents waits until there are that many events and returns them.
func (w *world) waitEvents(n int) []stored {
	w.t.Helper()
	var all []stored
	natstest.Eventually(w.t, func() error {
		if all = w.events(); len(all) < n {
			return fmt.Errorf("got %d events, want %d", len(all), n)
		}
		return nil
	})
	if len(all) != n {
		w.t.Fatalf("got %d events, want %d", len(all), n)
	}
	return all
}

// waitQuiet waits until no request is left on its stream.
func (w *world) waitQuiet() {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		s, err := w.js.Stream(w.t.Context(), "TASKS")
		if err != nil {
			return err
		}
		if n := s.CachedInfo().State.Msgs; n != 0 {
			return fmt.Errorf("got %d requests left, want none", n)
		}
		return nil
	})
}

// record returns a task's record.
func (w *world) record(id string) task.Record {
	w.t.Helper()
	kv, err := w.js.KeyValue(w.t.Context(), "task_tracker")
	if err != nil {
		w.t.Fatal(err)
	}
	entry, err := kv.Get(w.t.Context(), id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return task.Record{}
	}
	if err != nil {
		w.t.Fatal(err)
	}
	rec, err := task.ParseRecord(entry.Value())
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// waitState waits until a task's record is in a state.
func (w *world) waitState(id string, want task.State) task.Record {
	w.t.Helper()
	var rec task.Record
	natstest.Eventually(w.t, func() error {
		if rec = w.record(id); rec.State != want {
			return fmt.Errorf("task %s is %q, want %q", id, rec.State, want)
		}
		return nil
	})
	return rec
}

// code is an event's error code, or "" where it succeeded.
func (s stored) code() task.Code {
	if s.Error == nil {
		return ""
	}
	return s.Error.Code
}

// buffer is a bytes.Buffer for a process to write to and a test to read.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *buffer) tail() string {
	s := b.String()
	return s[max(0, len(s)-4000):]
}

// pause lets time pass that a test cannot do without.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
