package check_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/check"
	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/streams"
	"github.com/capstan-worker/capstan/internal/tracker"
)

// world is what a check needs: settings, NATS and the API.
type world struct {
	t   *testing.T
	cfg app.Config
	js  jetstream.JetStream
	api *anchortest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	nats := natstest.Start(t)
	_, js := nats.Connect()
	w := &world{t: t, js: js, api: anchortest.New(anchortest.WithMaxRunning(25))}
	if err := w.api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.api.Close)
	w.cfg = app.Config{
		Anchor:  anchor.Config{APIKey: anchor.Secret(w.api.Key()), BaseURL: w.api.URL(), RequestTimeout: 2 * time.Second},
		NATS:    streams.NATSConfig{URL: nats.URL(), Provision: true, Replicas: 1},
		Request: streams.RequestConfig{Stream: "TASKS", Subject: "tasks.request"},
		Result:  publisher.ResultConfig{Stream: "TASK_RESULTS", Subject: "tasks.result", Bucket: "task_results"},
		Dead:    publisher.DeadConfig{Stream: "TASK_DEAD", Subject: "tasks.dead"},
		Tracker: tracker.Config{Bucket: "task_tracker", TTL: 7 * 24 * time.Hour},
		Control: control.Config{Bucket: "task_control"},
	}
	w.cfg.Consumer, w.cfg.AckWait, w.cfg.MaxInFlight, w.cfg.MaxInFlightTotal = "worker", time.Minute, 25, "25"
	return w
}

// provision creates everything as a worker does.
func (w *world) provision() {
	w.t.Helper()
	nc, err := streams.ConnectTool(w.cfg.NATS)
	if err != nil {
		w.t.Fatal(err)
	}
	defer nc.Close()
	cfg := w.cfg.Streams()
	violations := streams.NewPermissionViolations(cfg, prometheus.NewRegistry(), zerolog.Nop())
	if err := streams.NewBinding(nc, cfg, violations, nil, zerolog.Nop()).Check(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// change changes a stream's configuration as an operator would.
func (w *world) change(name string, edit func(*jetstream.StreamConfig)) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	edit(&cfg)
	if _, err := w.js.UpdateStream(w.t.Context(), cfg); err != nil {
		w.t.Fatal(err)
	}
}

// check returns a line for each result.
func (w *world) check(mistakes ...string) string {
	w.t.Helper()
	var lines []string
	check.Run(w.t.Context(), w.cfg, mistakes, "test", func(r check.Result) {
		lines = append(lines, fmt.Sprintf("%s %s: %s", map[check.Level]string{check.OK: "ok", check.Warn: "warn", check.Bad: "BAD"}[r.Level], r.Subject, r.Text))
	})
	return strings.Join(lines, "\n")
}

// finds fails the test unless a check has a line that begins with each of these.
func (w *world) finds(got string, lines ...string) {
	w.t.Helper()
	for _, want := range lines {
		if !strings.Contains("\n"+got, "\n"+want) {
			w.t.Errorf("got\n%s\nwant a line that begins with %q", got, want)
		}
	}
}

// A failed check does not stop the others.
func TestWrongSettingsDoNotStopTheOtherChecks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Anchor.APIKey, w.cfg.MaxInFlight = "", 0
	w.finds(w.check(`MAX_IN_FLIGHT must be a number (got "many")`),
		`BAD settings: MAX_IN_FLIGHT must be a number (got "many")`, "ok NATS: ", "ok stream TASKS: missing", "ok permissions: ", "BAD API: ")
	w.cfg.NATS.URL = "nats://127.0.0.1:1"
	w.cfg.Anchor.APIKey = anchor.Secret(w.api.Key())
	w.finds(w.check(), "ok settings: ", "BAD NATS: no NATS at", "ok API: key accepted")
}

func TestOneMistakeIsReportedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.Anchor.APIKey = ""
	_, err := anchor.New(w.cfg.Anchor, "test", prometheus.NewRegistry())
	w.finds(w.check(err.Error()), "BAD settings: "+err.Error(), "warn API: not checked: its settings are wrong, see above")
}

// Without workers nothing is wrong with the settings, but whoever asks why nothing happens must read it here, too.
func TestRequestsWithoutAWorkerAreAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.finds(w.check(), "warn workers: no worker answers") // nobody knows whether there are requests
	w.provision()
	w.finds(w.check(), "ok workers: no worker answers, and there are no requests")
	if _, err := w.js.Publish(t.Context(), "tasks.request", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	w.finds(w.check(), "warn workers: no worker answers, and the stream has 1 request")
	nc, err := streams.ConnectTool(w.cfg.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	member := fleet.New(zerolog.Nop())
	member.Join(nc, "1.0.0", func() fleet.Status { return fleet.Status{Worker: "worker-1"} }, nil)
	w.finds(w.check(), "ok workers: 1 worker answers")
}

func TestABaseURLWithoutTheAPIIsBad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.api.FailAll(anchortest.HTML(404))
	w.finds(w.check(), "BAD API: 404: the answer is not in the API's format. Check ANCHORBROWSER_BASE_URL")
	w.api.FailAll(anchortest.HTML(502)) // a gateway whose backend is down
	w.finds(w.check(), "warn API: cannot be reached: ")
}

func TestStreamsThatCannotBeCreatedAreBad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ALL", Subjects: []string{"tasks.>"}}); err != nil {
		t.Fatal(err)
	}
	w.cfg.NATS.Replicas = 3
	got := w.check()
	w.finds(got, "BAD stream TASKS: ", "BAD replicas: ")
	for _, want := range []string{"they overlap with those of stream ALL", "NATS_REPLICAS must be 1, because the server is not in a cluster (got 3)"} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %q", got, want)
		}
	}
	if names := w.names(); names != "ALL" {
		t.Errorf("got streams %s, want none created", names)
	}
}

func (w *world) names() string {
	var all []string
	for name := range w.js.StreamNames(w.t.Context()).Name() {
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

func TestSingleReplicasAreReportedInOneLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provision()
	got := w.check()
	w.finds(got, "warn replicas: one replica: if its disk dies, the data is lost (TASKS, TASK_RESULTS, TASK_DEAD, KV_task_tracker, OBJ_task_results)", "ok stream TASKS: ", "ok clock: in sync with NATS")
	if n := strings.Count(got, "one replica"); n != 1 {
		t.Errorf("lines on replicas: got %d, want 1\n%s", n, got)
	}
}

func TestAShortDuplicateWindowIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provision()
	w.change("TASK_RESULTS", func(c *jetstream.StreamConfig) { c.Duplicates = 2 * time.Minute })
	w.finds(w.check(), "warn duplicate window: duplicate events are detected for 2m0s")
}

func TestAViolatedRuleIsBadUnlessAWorkerRepairsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.provision()
	w.change("TASKS", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 3 })
	w.finds(w.check(), "warn stream TASKS: max messages per subject must be unlimited, or a new request drops one in progress (got 3). A worker fixes this when it starts")
	w.cfg.NATS.Provision = false
	w.finds(w.check(), "BAD stream TASKS: max messages per subject must be unlimited, or a new request drops one in progress (got 3)")
}

// A leaf node without JetStream does not answer. One with a domain of its own would have separate streams.
func TestTheDomainOfTheStreamsIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hub := start(t, &server.Options{JetStream: true, StoreDir: t.TempDir(), JetStreamDomain: "hub", LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT}})
	leafURL, err := url.Parse(fmt.Sprintf("nats-leaf://127.0.0.1:%d", hub.leafPort()))
	if err != nil {
		t.Fatal(err)
	}
	leaf := start(t, &server.Options{LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{leafURL}}}}})
	w.cfg.NATS.URL = hub.ClientURL()
	w.provision()
	w.finds(w.check(), `warn JetStream domain: "hub", chosen by the server`)

	w.cfg.NATS.URL = leaf.ClientURL()
	got := w.check()
	w.finds(got, "BAD stream TASKS: ")
	if !strings.Contains(got, "At a leaf node, set NATS_JS_DOMAIN to the hub's domain") {
		t.Errorf("got\n%s\nwant what to do", got)
	}
	w.cfg.NATS.JSDomain = "hub"
	natstest.Eventually(t, func() error { // until the servers have connected
		if got := w.check(); !strings.Contains(got, `ok JetStream domain: "hub"; the server's own is ""`) || strings.Contains(got, "BAD") {
			return fmt.Errorf("got\n%s\nwant the hub's streams", got)
		}
		return nil
	})
}

// running is a NATS server with options of a test.
type running struct {
	*server.Server
	opts *server.Options
}

// leafPort is the port where leaf nodes connect.
func (r running) leafPort() int { return r.opts.LeafNode.Port }

func start(t *testing.T, opts *server.Options) running {
	t.Helper()
	return running{Server: natstest.Run(t, opts), opts: opts}
}
