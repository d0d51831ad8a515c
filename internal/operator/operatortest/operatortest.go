// Package operatortest has queues for the tests of what people do with one. They are on real servers, with the streams and
// buckets that workers create.
package operatortest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/streams"
)

// Site is a queue on a server that runs until the test ends. A test fills it as publishers and workers do.
type Site struct {
	operator.Queue
	Server *natstest.Server // nil after StartLimited

	tb testing.TB
}

// Start starts a server with all streams and buckets but those whose streams are named.
func Start(tb testing.TB, without ...string) *Site {
	tb.Helper()
	s := StartBare(tb)
	s.provision(without)
	return s
}

// StartBare starts a server without streams.
func StartBare(tb testing.TB) *Site {
	tb.Helper()
	natsServer := natstest.Start(tb)
	nc, js := natsServer.Connect()
	cfg := Config(tb)
	cfg.NATS.URL = natsServer.URL()
	return &Site{Queue: operator.Queue{Conn: nc, JS: js, Config: cfg}, Server: natsServer, tb: tb}
}

// StartLimited is like Start, and returns the queue as a login with these permissions sees it, and as one without limits does.
func StartLimited(tb testing.TB, permissions server.Permissions, without ...string) (limited operator.Queue, all *Site) {
	tb.Helper()
	const limitedUser, admin, password = "limited", "admin", "p"
	s := natstest.Run(tb, &server.Options{JetStream: true, StoreDir: tb.TempDir(), Users: []*server.User{
		{Username: admin, Password: password}, {Username: limitedUser, Password: password, Permissions: &permissions},
	}})
	connect := func(user string) operator.Queue {
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, password), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(nc.Close)
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(2*time.Second))
		if err != nil {
			tb.Fatal(err)
		}
		return operator.Queue{Conn: nc, JS: js, Config: Config(tb)}
	}
	all = &Site{Queue: connect(admin), tb: tb}
	all.provision(without)
	return connect(limitedUser), all
}

// PublishOnly returns the permissions to publish to these subjects, and to receive answers.
func PublishOnly(subjects ...string) server.Permissions {
	return server.Permissions{
		Publish: &server.SubjectPermission{Allow: subjects}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
}

// Config returns the settings of a tool in an empty environment.
func Config(tb testing.TB) app.Config {
	tb.Helper()
	cfg, err := app.LoadToolConfig()
	if err != nil {
		tb.Fatal(err)
	}
	return cfg
}

// provision creates the streams and buckets as a worker does, and deletes those that the test does not want.
func (s *Site) provision(without []string) {
	s.tb.Helper()
	ctx, cfg := s.tb.Context(), s.Config
	cfg.NATS.Provision = true
	violations := streams.NewPermissionViolations(cfg.Streams(), prometheus.NewRegistry(), zerolog.Nop())
	if err := streams.NewBinding(s.Conn, cfg.Streams(), violations, nil, zerolog.Nop()).Check(ctx); err != nil {
		s.tb.Fatal(err)
	}
	access := control.Access{JetStream: func() jetstream.JetStream { return s.JS }, Create: true, Replicas: 1, TTL: cfg.Tracker.TTL}
	control.New(cfg.Control, access, zerolog.Nop()).Prepare(ctx)
	for _, name := range without {
		if err := s.JS.DeleteStream(ctx, name); err != nil {
			s.tb.Fatal(err)
		}
	}
}

// Recreate deletes a stream, or a bucket by its stream, and creates it again, empty and with the same settings.
func (s *Site) Recreate(name string) {
	s.tb.Helper()
	stream, err := s.JS.Stream(s.tb.Context(), name)
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := s.JS.DeleteStream(s.tb.Context(), name); err != nil {
		s.tb.Fatal(err)
	}
	natstest.Stream(s.tb, s.JS, stream.CachedInfo().Config)
}
