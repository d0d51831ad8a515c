package app_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// asWorker is the variable that makes the test binary a worker, so that a test can kill it.
const asWorker = "CAPSTAN_TEST_WORKER"

func TestMain(m *testing.M) {
	if os.Getenv(asWorker) != "" {
		os.Exit(app.Main(nil, "test", os.Stdout, os.Stderr))
	}
	os.Exit(runTests(m))
}

// scratch is a folder for what several tests share. It is removed at the end.
var scratch string

// runTests runs many tests at once: they mostly wait.
func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "capstan")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	scratch = dir
	defer func() { _ = os.RemoveAll(dir) }()
	natstest.SideBySide(12)
	return m.Run()
}

// done is the plan of a task that succeeds at once, and blocked of one that succeeds after release.
var (
	done    = anchortest.Plan{Result: json.RawMessage(`{"heading":"Hello"}`)}
	blocked = anchortest.Plan{Block: true, Result: json.RawMessage(`"ok"`)}
)

// running is the plan of a task that succeeds after d.
func running(d time.Duration) anchortest.Plan {
	return anchortest.Plan{Run: d, Result: json.RawMessage(`"ok"`)}
}

// world is a NATS server, a stand-in for the API, and any number of workers.
type world struct {
	t    *testing.T
	nats *natstest.Server
	api  *anchortest.Server
	nc   *nats.Conn
	js   jetstream.JetStream
}

func newWorld(t *testing.T, opts ...anchortest.Option) *world {
	t.Helper()
	w := &world{t: t, nats: natstest.Start(t), api: anchortest.New(opts...)}
	if err := w.api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.api.Close)
	w.nc, w.js = w.nats.Connect()
	return w
}

// env is the environment of a worker, with shorter times than in production.
func (w *world) env(name string, extra ...string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), asWorker + "=1", "WORKER_NAME=" + name,
		"NATS_URL=" + w.nats.URL(), "ANCHORBROWSER_API_KEY=" + w.api.Key(), "ANCHORBROWSER_BASE_URL=" + w.api.URL(),
		"ANCHORBROWSER_REQUEST_TIMEOUT=2s", "ACK_WAIT=2s", "POLL_INTERVAL=50ms", "POLL_MAX_INTERVAL=250ms",
		"DRAIN_TIMEOUT=10s", "ADMIN_ADDR=127.0.0.1:0", "LOG_LEVEL=debug",
	}
	return append(env, extra...)
}

// publish publishes a request. The headers are names and values in turn.
func (w *world) publish(request string, headers ...string) {
	w.t.Helper()
	msg := &nats.Msg{Subject: "tasks.request", Header: nats.Header{}, Data: []byte(request)}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	_, err := task.ParseRequest(task.Delivery{Stream: "TASKS", Data: msg.Data}, task.Defaults{Timeout: time.Hour})
	contractOf()["request"].body.Agree(w.t, msg.Data, err)
	if _, err := w.js.PublishMsg(w.t.Context(), msg); err != nil {
		w.t.Fatal(err)
	}
}

// submit publishes a request with a task id and a plan for the stand-in.
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

// seen returns the calls that the stand-in got for a task.
func (w *world) seen(id string, plan anchortest.Plan) anchortest.Log {
	return w.api.Log(w.prompt(id, plan))
}

// waitAccepted waits until the stand-in has started the workflow of a task.
func (w *world) waitAccepted(id string, plan anchortest.Plan) {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		if w.seen(id, plan).Accepted == 0 {
			return fmt.Errorf("task %s is not accepted yet", id)
		}
		return nil
	})
}

// release ends the workflow of a task with the plan blocked.
func (w *world) release(id string) {
	w.t.Helper()
	w.api.Release(w.prompt(id, blocked))
}

// waitTakenOver waits until w2 owns the task.
func (w *world) waitTakenOver(id string) {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		if rec := w.record(id); rec.Owner != "w2" {
			return fmt.Errorf("task %s is owned by %q, want w2", id, rec.Owner)
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
		w.keepsContract("event", m.Data, m.Header)
		all = append(all, ev)
	})
	return all
}

// each calls f for every message of a stream. A missing stream has no messages.
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

// bodies returns the data of every message of a stream.
func (w *world) bodies(stream string) []string {
	w.t.Helper()
	var all []string
	w.each(stream, func(m *jetstream.RawStreamMsg) { all = append(all, string(m.Data)) })
	return all
}

// waitEvents waits until there are n events, and returns them.
func (w *world) waitEvents(n int) []stored {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		got, err := w.messages("TASK_RESULTS")
		if err == nil && got < n {
			err = fmt.Errorf("got %d events, want %d", got, n)
		}
		return err
	})
	all := w.events()
	if len(all) != n {
		w.t.Fatalf("got %d events, want %d", len(all), n)
	}
	return all
}

// waitQuiet waits until the stream of requests is empty.
func (w *world) waitQuiet() {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		got, err := w.messages("TASKS")
		if err == nil && got != 0 {
			err = fmt.Errorf("got %d requests left, want none", got)
		}
		return err
	})
}

// messages returns how many messages a stream has.
func (w *world) messages(stream string) (int, error) {
	s, err := w.js.Stream(w.t.Context(), stream)
	if err != nil {
		return 0, err
	}
	return int(s.CachedInfo().State.Msgs), nil
}

// record returns the record of a task, or the zero record.
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
	w.keepsContract("record", entry.Value(), nil)
	return rec
}

// waitState waits until the record of a task has a state, and returns the record.
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

// code is the error code of an event, or "" for success.
func (s stored) code() task.Code {
	if s.Error == nil {
		return ""
	}
	return s.Error.Code
}

// pause waits, for tests that need time to pass.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
