// Package natstest gives tests a real NATS server of their own.
package natstest

import (
	"cmp"
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver"
)

// patience is how long a test waits for what must happen, however busy the machine is. A test that passes
// never waits that long.
const patience = time.Minute

// Run runs a server with these options until the test ends, on this machine and on a free port unless they name one. It is
// for what [natsserver.Config] does not have, such as leaf nodes.
func Run(tb testing.TB, opts *server.Options) *server.Server {
	tb.Helper()
	opts.Host, opts.Port, opts.NoLog, opts.NoSigs = "127.0.0.1", cmp.Or(opts.Port, server.RANDOM_PORT), true, true
	s, err := server.NewServer(opts)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	tb.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		tb.Fatal("NATS did not start")
	}
	return s
}

// Server is a server that a test may stop and start again at the same address. Its methods are for the
// goroutine of the test, since they fail it.
type Server struct {
	*natsserver.Server
	tb  testing.TB
	cfg natsserver.Config

	// clients are the connections that Connect returned, which Restart waits for.
	clients []*nats.Conn
}

// Start starts a server in a folder of the test's, and stops it when the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	return StartWith(tb, natsserver.Config{})
}

// StartWith starts a server with these settings, and stops it when the test ends. The default folder is one
// of the test's, the default port a free one. A restart uses the same folder and the same port.
func StartWith(tb testing.TB, cfg natsserver.Config) *Server {
	tb.Helper()
	if cfg.Dir == "" {
		cfg.Dir = tb.TempDir()
	}
	if cfg.Port == 0 {
		cfg.Port = natsserver.AnyPort
	}
	s := &Server{tb: tb, cfg: cfg}
	s.Restart()
	s.cfg.Port = s.Port()
	tb.Cleanup(func() { s.Stop() })
	return s
}

// Restart starts a stopped server again with what it had stored. It returns when the test's connections are
// restored: a call over an old one would be lost, and time out only after patience. Call it after Stop: two
// servers cannot share a port and a folder.
func (s *Server) Restart() {
	s.tb.Helper()
	started, err := natsserver.Start(s.cfg)
	if err != nil {
		s.tb.Fatal(err)
	}
	s.Server = started
	for _, nc := range s.clients {
		Eventually(s.tb, func() error {
			if nc.IsClosed() {
				return nil
			}
			return nc.FlushTimeout(time.Second)
		})
	}
}

// Connect connects to the server, and closes the connection when the test ends. Like a worker's, the
// connection is restored after a restart. A publish while the server is down fails at once, and opts take
// precedence over all of this.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	s.tb.Helper()
	opts = append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(50 * time.Millisecond), nats.Timeout(patience)}, opts...)
	var nc *nats.Conn
	Eventually(s.tb, func() (err error) { // a busy machine can be too slow for the first exchange
		nc, err = nats.Connect(s.URL(), opts...)
		return err
	})
	s.clients = append(s.clients, nc)
	s.tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	if err != nil {
		s.tb.Fatal(err)
	}
	return nc, js
}

// Batcher returns a batcher on a connection, with a worker's time-out for each PubAck.
func Batcher(tb testing.TB, nc *nats.Conn) *jet.Batcher {
	tb.Helper()
	b, err := jet.NewBatcher(nc, "", jet.Quick)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Stream creates a stream, or fails the test if that takes longer than a minute. The server may still be
// busy deleting an earlier one of that name.
func Stream(tb testing.TB, js jetstream.JetStream, cfg jetstream.StreamConfig) (s jetstream.Stream) {
	tb.Helper()
	Eventually(tb, func() (err error) {
		s, err = js.CreateStream(tb.Context(), cfg)
		return err
	})
	return s
}

// Eventually waits until check returns nil. If that takes longer than a minute, it fails the test with
// check's last error. check is called every few milliseconds, and less often the longer it fails, so that it takes little
// from what it waits for. It runs on the goroutine of the test, and should return soon.
func Eventually(tb testing.TB, check func() error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	began := time.Now()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-time.After(min(max(5*time.Millisecond, time.Since(began)/10), 100*time.Millisecond)):
		case <-ctx.Done():
			tb.Fatal(err)
		}
	}
}
