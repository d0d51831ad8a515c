package control_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/servertime"
	"github.com/capstan-worker/capstan/internal/task"
)

// buffer is a log that many goroutines may write.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// steered is a worker that is steered, and the bucket as an operator sees it.
type steered struct {
	*control.Steering
	t      *testing.T
	server *natstest.Server
	js     jetstream.JetStream // the operator's
	kv     jetstream.KeyValue  // nil without a bucket
	clock  *servertime.Clock
	reg    *prometheus.Registry
	log    *buffer
	told   chan string // the pauses that were reported
	nc     *nats.Conn  // the worker's
}

// silence puts a server without streams in the place of the worker's, until restore is called: the worker is connected, and
// its bucket does not answer.
func (s *steered) silence() (restore func()) {
	s.t.Helper()
	before := s.nc.Stats().Reconnects
	port := s.server.Port()
	s.server.Stop()
	other := natstest.Run(s.t, &natsserver.Options{Port: port})
	natstest.Eventually(s.t, func() error {
		if got := s.nc.Stats().Reconnects; got == before || !s.nc.IsConnected() {
			return fmt.Errorf("got %d reconnects, want more than %d", got, before)
		}
		return nil
	})
	return func() {
		other.Shutdown()
		other.WaitForShutdown()
		s.server.Restart()
	}
}

// newSteered prepares a worker whose bucket has this TTL, on a server with a bucket.
func newSteered(t *testing.T, ttl time.Duration) *steered {
	t.Helper()
	server := natstest.Start(t)
	_, js := server.Connect()
	worker(js, ttl).Prepare(t.Context())
	s := steer(t, server, ttl)
	kv, err := s.js.KeyValue(t.Context(), names.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	s.kv = kv
	return s
}

// steer prepares a worker that creates no bucket.
func steer(t *testing.T, server *natstest.Server, ttl time.Duration, opts ...nats.Option) *steered {
	t.Helper()
	_, operator := server.Connect(opts...)
	s := &steered{t: t, server: server, js: operator, clock: &servertime.Clock{}, reg: prometheus.NewRegistry(), log: &buffer{}, told: make(chan string, 100)}
	var b *control.Bucket
	noted := nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		b.Note(err)
		s.Note(err)
	})
	var js jetstream.JetStream
	b = control.New(names, control.Access{JetStream: func() jetstream.JetStream { return js }, TTL: ttl}, zerolog.New(s.log))
	s.Steering = control.NewSteering(b, s.clock, s.reg, zerolog.New(s.log))
	s.OnPause(func(p task.Pause, paused bool) {
		if paused {
			s.told <- p.String()
		} else {
			s.told <- "resumed"
		}
	})
	s.nc, js = server.Connect(append(opts, noted)...)
	return s
}

// run runs the worker until the test ends, or until stop is called.
func (s *steered) run() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	stop = func() {
		cancel()
		running.Wait()
	}
	s.t.Cleanup(stop)
	return stop
}

// put writes a key without a TTL, as `nats kv put` does.
func (s *steered) put(key, value string) {
	s.t.Helper()
	if _, err := s.kv.Put(s.t.Context(), key, []byte(value)); err != nil {
		s.t.Fatal(err)
	}
}

// eventually waits until a task is canceled, or until it is not.
func (s *steered) eventually(taskID, batch string, want bool) (c task.Cancellation) {
	s.t.Helper()
	natstest.Eventually(s.t, func() error {
		var got bool
		if c, got = s.Canceled(s.t.Context(), taskID, batch); got != want {
			return fmt.Errorf("got task %q of batch %q canceled: %v, want %v", taskID, batch, got, want)
		}
		return nil
	})
	return c
}

// tells waits for the next report of a pause.
func (s *steered) tells(want string) {
	s.t.Helper()
	select {
	case got := <-s.told:
		if got != want {
			s.t.Errorf("got %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		s.t.Fatalf("got no report, want %q\n%s", want, s.log)
	}
}

// logged waits until the log has a text so many times.
func (s *steered) logged(text string, times int) {
	s.t.Helper()
	natstest.Eventually(s.t, func() error {
		if n := strings.Count(s.log.String(), text); n != times {
			return fmt.Errorf("got %q %d times, want %d, in\n%s", text, n, times, s.log)
		}
		return nil
	})
}

// metric returns a gauge.
func (s *steered) metric(name string) float64 {
	s.t.Helper()
	all, err := s.reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	s.t.Fatalf("no metric %s", name)
	return 0
}

// lints fails the test if the names or the texts of the metrics break a rule of Prometheus.
func (s *steered) lints() {
	s.t.Helper()
	if problems, err := testutil.GatherAndLint(s.reg); err != nil || len(problems) > 0 {
		s.t.Errorf("got %v, %v, want no problem", problems, err)
	}
}
