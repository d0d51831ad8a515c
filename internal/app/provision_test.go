package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestWithoutProvisionAWorkerSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start("w1", "NATS_PROVISION=false")
	for _, says := range []string{
		"stream TASKS: missing", "stream TASK_RESULTS: missing", "stream TASK_DEAD: missing", "bucket task_tracker: missing", "object store task_results: missing",
	} {
		natstest.Eventually(t, func() error { return p.logged(says) })
	}
	w.startReady("w2")                                                          // creates everything
	natstest.Eventually(t, func() error { return p.logged("worker is ready") }) // and the first finds it
}

func TestWithoutProvisionAWorkerSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w0").drain()
	kv := w.config("KV_task_tracker")
	kv.AllowDirect = true
	kv.MaxAge = time.Hour
	results := w.config("TASK_RESULTS")
	results.Subjects = []string{"elsewhere"}
	for _, cfg := range []jetstream.StreamConfig{kv, results} {
		if _, err := w.js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	p := w.start("w1", "NATS_PROVISION=false", "ACK_WAIT=3s", "MAX_IN_FLIGHT_TOTAL=5000")
	for _, says := range []string{
		"bucket task_tracker: allow direct must be off", "max age must be 0", "stream TASK_RESULTS: subjects must include tasks.result",
		"consumer worker: ack wait must be 3s, as set by ACK_WAIT (got 2s)", "max ack pending is above MAX_IN_FLIGHT_TOTAL, 5000: the consumer's value applies (got 10000)",
	} {
		natstest.Eventually(t, func() error { return p.logged(says) })
	}
}

// A record that is read from a lagging replica would be a task that runs twice.
func TestAWorkerRepairsWhatItOwns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w0").drain()
	kv := w.config("KV_task_tracker")
	kv.AllowDirect = true
	if _, err := w.js.UpdateStream(t.Context(), kv); err != nil {
		t.Fatal(err)
	}
	requests := w.config("TASKS")
	requests.MaxMsgs, requests.MaxAge = 1000, time.Hour
	if _, err := w.js.UpdateStream(t.Context(), requests); err != nil {
		t.Fatal(err)
	}
	w.startReady("w1", "ACK_WAIT=3s")
	if got := w.config("KV_task_tracker"); got.AllowDirect {
		t.Error("direct reads are allowed still")
	}
	if got := w.config("TASKS"); got.MaxAge != 0 || got.MaxMsgs != 1000 {
		t.Errorf("got max age %v and max messages %d, want no age, and an operator's limit kept", got.MaxAge, got.MaxMsgs)
	}
	c, err := w.js.Consumer(t.Context(), "TASKS", "worker")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.CachedInfo().Config; got.AckWait != 3*time.Second || got.MaxDeliver != -1 || got.MaxAckPending != 10000 || len(got.BackOff) != 0 {
		t.Errorf("got consumer %+v", got)
	}
}

func (w *world) config(stream string) jetstream.StreamConfig {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), stream)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().Config
}

func TestAWrongSettingStopsAWorkerAtStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start("w1", "MAX_IN_FLIGHT=many", "ANCHORBROWSER_API_KEY=", "LOG_LEVEL=loud")
	if err := <-p.exited; err == nil {
		t.Error("got exit code 0, want 1")
	}
	got := p.log.String()
	for _, name := range []string{"MAX_IN_FLIGHT", "ANCHORBROWSER_API_KEY", "LOG_LEVEL"} {
		if !strings.Contains(got, name) {
			t.Errorf("got\n%s\nwant a line on %s", got, name)
		}
	}
}

func TestATimeoutComesOnTimeWhileTheAPIIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.submit("a", running(time.Minute), `"timeout":"3s"`)
	rec := w.waitState("a", task.Running)
	w.api.Close()
	ev := w.waitEvents(1)[0]
	if late := ev.FinishedAt.Sub(rec.SubmittedAt.Add(3 * time.Second)); ev.code() != task.Timeout || late < 0 || late > 20*time.Second {
		t.Errorf("got %+v, %v after its time was up", ev.Event, late)
	}
}

// Other settings than the last time: the consumer that is there must not keep the old subject, and a
// stream with a wildcard holds the new one already.
func TestAWorkerFollowsAChangedSubject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w0").drain()
	requests := w.config("TASKS")
	requests.Subjects = []string{"tasks.request", "jobs.*"}
	if _, err := w.js.UpdateStream(t.Context(), requests); err != nil {
		t.Fatal(err)
	}
	w.startReady("w1", "REQUEST_SUBJECT=jobs.new")
	if _, err := w.js.Publish(t.Context(), "jobs.new", []byte(`{"prompt":"x","url":"https://example.com"}`)); err != nil {
		t.Fatal(err)
	}
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded {
		t.Errorf("got %+v", ev.Event)
	}
	if got := w.config("TASKS").Subjects; len(got) != 2 {
		t.Errorf("got subjects %v, want the two that were there", got)
	}
}
