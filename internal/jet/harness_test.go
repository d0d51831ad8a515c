package jet_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is a time-out that no test is meant to reach, however busy the machine is.
const patience = time.Minute

// harness is a batcher on a NATS server of the test's own.
type harness struct {
	*testing.T
	*jet.Batcher
	server *natstest.Server
	nc     *nats.Conn
	stream jetstream.Stream
}

// newHarness returns a batcher with this time-out, and creates a stream of the subjects below "in".
func newHarness(t *testing.T, timeout time.Duration) *harness {
	t.Helper()
	h := &harness{T: t, server: natstest.StartWith(t, natsserver.Config{MaxPayload: 4096})}
	var js jetstream.JetStream
	h.nc, js = h.server.Connect()
	h.stream = newStream(t, js)
	var err error
	if h.Batcher, err = jet.NewBatcher(h.nc, "", timeout); err != nil {
		t.Fatal(err)
	}
	return h
}

func newStream(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	return natstest.Stream(t, js, jetstream.StreamConfig{Name: "IN", Subjects: []string{"in.>"}, Duplicates: time.Hour})
}

// stored returns how many messages the stream holds.
func (h *harness) stored() uint64 {
	h.Helper()
	info, err := h.stream.Info(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return info.State.Msgs
}

// dialer dials connections that call beforeWrite before each write.
type dialer struct{ beforeWrite func() }

func (d dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(context.Background(), network, address)
	return &watchedConn{conn, d.beforeWrite}, err
}

type watchedConn struct {
	net.Conn
	beforeWrite func()
}

func (c *watchedConn) Write(b []byte) (int, error) {
	c.beforeWrite()
	return c.Conn.Write(b)
}

// counting returns a dialer whose connections count their writes.
func counting(writes *atomic.Int64) dialer {
	return dialer{func() { writes.Add(1) }}
}

// blockedBy returns a dialer whose connections write nothing while the test holds mu.
func blockedBy(mu *sync.Mutex) dialer {
	return dialer{func() {
		mu.Lock()
		defer mu.Unlock()
	}}
}

// errNoAnswer is the error of a call during an outage.
var errNoAnswer = errors.New("no answer")

func newCall(timeout time.Duration) *jet.Call {
	return jet.NewCall("test", timeout, prometheus.NewRegistry(), zerolog.Nop())
}

// retry makes a call whose attempts return these errors in turn, the last of them forever. It returns how many
// attempts there were.
func retry(ctx context.Context, errs ...error) (attempts int, err error) {
	_, err = jet.Retry(ctx, newCall(patience), func(context.Context) (struct{}, error) {
		err := errs[min(attempts, len(errs)-1)]
		attempts++
		return struct{}{}, err
	})
	return attempts, err
}
