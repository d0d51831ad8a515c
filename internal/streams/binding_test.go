package streams_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/streams"
)

// A worker that cannot record tasks must not pull. One that cannot store an event keeps its task in progress and says so.
func TestAFullStreamIsReported(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		stream, subject string
		limit           func(*jetstream.StreamConfig)
		says            string
		ready           bool
	}{
		{"KV_task_tracker", "$KV.task_tracker.a", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 }, "bucket task_tracker: full (1 of 1 messages)", false},
		{"KV_task_tracker", "$KV.task_tracker.a", func(c *jetstream.StreamConfig) { c.MaxBytes = 2000 }, "bucket task_tracker: full (", false},
		{"TASK_RESULTS", "tasks.result", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 }, "stream TASK_RESULTS: full (1 of 1 messages)", true},
		{"TASK_DEAD", "tasks.dead", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 }, "stream TASK_DEAD: full (1 of 1 messages)", true},
		{"TASKS", "tasks.request", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 }, "stream TASKS: full (1 of 1 messages)", true},
	} {
		t.Run(c.says, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			b := w.provision(defaults())
			if _, err := w.js.Publish(t.Context(), c.subject, []byte(strings.Repeat("x", 100))); err != nil {
				t.Fatal(err)
			}
			w.change(c.stream, c.limit)
			_ = b.Check(t.Context())
			if ready, says := b.Ready(); ready != c.ready || !strings.Contains(says, c.says) {
				t.Errorf("got %v, %q, want %v and %q", ready, says, c.ready, c.says)
			}
			if got, want := b.TrackerFull(), c.stream == "KV_task_tracker"; got != want {
				t.Errorf("TrackerFull: got %v, want %v", got, want)
			}
			w.change(c.stream, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.MaxBytes = -1, -1 })
			if err := b.Check(t.Context()); err != nil || b.TrackerFull() {
				t.Errorf("with room again: got %v, full: %v", err, b.TrackerFull())
			}
		})
	}
}

// Five refused pulls in a row are not a passing problem.
func TestRefusedPullsMakeAWorkerUnready(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.provision(defaults())
	for i := range 5 {
		if ready, says := b.Ready(); !ready {
			t.Errorf("after %d refused pulls: got %q, want ready", i, says)
		}
		b.PullRefused(errors.New("exceeded max waiting"))
	}
	if ready, says := b.Ready(); ready || says != "5 pulls in a row were refused: exceeded max waiting" {
		t.Errorf("got %v, %q, want unready, and the reason", ready, says)
	}
	b.PullOK()
	if ready, says := b.Ready(); !ready {
		t.Errorf("after an answered pull: got %q, want ready", says)
	}
}

// A check that gets no answer says nothing about the streams.
func TestACheckWithoutAnAnswerKeepsTheLastResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	b := w.provision(cfg)
	domain := cfg
	domain.NATS.JSDomain = "nowhere" // where no server listens
	for name, before := range map[string]*streams.Binding{"bound": b, "wrong": w.misconfigured(cfg)} {
		ready, says := before.Ready()
		streams.SetConfig(before, domain)
		if err := before.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "no answer about the streams") {
			t.Errorf("%s: got %v, want no answer", name, err)
		}
		if r, s := before.Ready(); r != ready || s != says {
			t.Errorf("%s: got %v, %q, want %v, %q as before", name, r, s, ready, says)
		}
	}
	streams.UnansweredSince(b, time.Now().Add(-time.Minute-time.Second))
	if ready, says := b.Ready(); ready || !strings.HasPrefix(says, "no answer for 1m1s: ") {
		t.Errorf("after a minute: got %v, %q, want unready", ready, says)
	}
	streams.SetConfig(b, cfg)
	if err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if ready, says := b.Ready(); !ready {
		t.Errorf("after an answer: got %q, want ready", says)
	}
}

func TestAWorkerWithoutAnyAnswerSaysSo(t *testing.T) {
	t.Parallel()
	w := silent(t)
	b := w.worker(defaults())
	if ready, says := b.Ready(); ready || says != "not checked yet" {
		t.Errorf("got %v, %q", ready, says)
	}
	_ = b.Check(t.Context())
	if ready, says := b.Ready(); ready || says == "not checked yet" {
		t.Errorf("got %v, %q, want that JetStream is missing", ready, says)
	}
}

func TestARecreatedStreamIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := defaults()
	b := w.provision(cfg)
	created := b.RequestsCreated()
	if want := w.stream("TASKS").Created; !created.Equal(want) || created.IsZero() {
		t.Errorf("got created %v, want %v", created, want)
	}
	notices := func(what string, want bool) {
		t.Helper()
		if err := b.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-b.Recreated():
			if !want {
				t.Errorf("%s: got a notice, want none", what)
			}
		default:
			if want {
				t.Errorf("%s: got no notice, want one", what)
			}
		}
	}
	if _, err := w.js.Publish(t.Context(), "$KV.task_tracker.a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	notices("a record", false)
	if _, seq := b.TrackerState(); seq != 1 {
		t.Errorf("last sequence: got %d, want 1", seq)
	}
	w.replace("TASKS", func(*jetstream.StreamConfig) {})
	notices("a recreated request stream", true)
	if !b.RequestsCreated().After(created) {
		t.Errorf("got created %v, want later than %v", b.RequestsCreated(), created)
	}
	notices("nothing", false)
	bucket, _ := b.TrackerState()
	w.replace("KV_task_tracker", func(*jetstream.StreamConfig) {})
	notices("a recreated bucket", true)
	if now, seq := b.TrackerState(); !now.After(bucket) || seq != 0 {
		t.Errorf("got created %v and sequence %d, want later than %v and 0", now, seq, bucket)
	}
}

// A server that lost its last writes has the bucket with a lower sequence.
func TestARolledBackBucketIsNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.provision(defaults())
	created, _ := b.TrackerState()
	streams.SawTracker(b, created, 7)
	if err := b.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.Recreated():
	default:
		t.Error("got no notice after the last sequence went from 7 to 0")
	}
}

// Servers and workers have different clocks. The worker needs the server's time before its first task.
func TestACheckLearnsTheServersTime(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(w *world){
		"from streams that exist":      func(w *world) { w.provision(defaults()) },
		"from streams that it creates": func(*world) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			prepare(w)
			cfg, clock, asked := defaults(), &servertime.Clock{}, time.Now()
			clock.Observe(asked.Add(time.Hour), asked, asked)
			b := streams.NewBinding(w.nc, cfg, streams.NewPermissionViolations(cfg, prometheus.NewRegistry(), zerolog.Nop()), clock, zerolog.Nop())
			if got := b.Clock(); got != "this machine's clock is 1h0m0s behind NATS'" {
				t.Errorf("got %q, want one hour", got)
			}
			if err := b.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := clock.Skew().Abs(); got > time.Second {
				t.Errorf("skew after a check: got %v, want none, as it is the same machine's clock", got)
			}
			if got := b.Clock(); got != "in sync with NATS" {
				t.Errorf("got %q", got)
			}
		})
	}
	if got := streams.DescribeSkew(-2 * time.Hour); got != "this machine's clock is 2h0m0s ahead of NATS'" {
		t.Errorf("got %q", got)
	}
}

func TestStreamsAreCreatedInTheJetStreamDomain(t *testing.T) {
	t.Parallel()
	w := configured(t, account("enabled")+"jetstream { domain: hub }\n")
	cfg := defaults()
	cfg.NATS.JSDomain = "hub"
	w.provision(cfg)
	if got := w.stream("TASKS").Domain; got != "hub" {
		t.Errorf("got domain %q, want hub", got)
	}
	for _, permission := range cfg.Permissions() {
		if strings.HasPrefix(permission, "$JS.API.") || strings.HasPrefix(permission, "$KV.") {
			t.Errorf("got the permission %s, want it in the domain", permission)
		}
	}
	cfg.NATS.JSDomain = "leaf"
	if _, says := w.readyz(cfg); !strings.HasPrefix(says, "no answer yet: stream TASKS: ") {
		t.Errorf("in a domain that does not exist: got %q, want no answer", says)
	}
}

func TestACheckWhileDisconnectedKeepsTheLastResult(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.provision(defaults())
	w.nats.Stop()
	if err := b.Check(t.Context()); err == nil {
		t.Error("got no error, want one while the server is down")
	}
	if ready, says := b.Ready(); !ready {
		t.Errorf("got %q, want ready: another check reports the connection", says)
	}
	w.nats.Restart()
	natstest.Eventually(t, func() error { return b.Check(t.Context()) })
}
