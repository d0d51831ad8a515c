package fleet_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// lines is a log that may be written by many goroutines.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// limited is a server whose account lets each connection have so many subscriptions. set changes that.
func limited(t *testing.T, most int) (s *natstest.Server, set func(most int)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	write := func(most int) {
		conf := fmt.Sprintf("accounts { A { users: [{ user: a, password: a }], limits { max_subscriptions: %d } } }\n", most)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(most)
	s = natstest.StartWith(t, natsserver.Config{File: file})
	return s, func(most int) {
		write(most)
		s.Stop() // a reload closes no connection
		s.Restart()
	}
}

// member joins the fleet over a connection that has one subscription of its own, "work".
func member(t *testing.T, server *natstest.Server, log *lines) (nc *nats.Conn, unhandled chan error) {
	t.Helper()
	m := fleet.New(zerolog.New(log))
	unhandled = make(chan error, 100)
	nc, _ = server.Connect(nats.UserInfo("a", "a"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if !m.Note(err) {
			unhandled <- err
		}
	}))
	if _, err := nc.Subscribe("work", func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		t.Fatal(err)
	}
	m.Join(nc, "v1.2.3", status("a", "v1.2.3"), nil)
	m.Join(nc, "v1.2.3", status("a", "v1.2.3"), nil) // has no effect
	t.Cleanup(func() { _ = m.Leave() })
	return nc, unhandled
}

// works fails the test unless the worker still gets its work.
func works(t *testing.T, server *natstest.Server) {
	t.Helper()
	asker, _ := server.Connect(nats.UserInfo("a", "a"))
	natstest.Eventually(t, func() error {
		_, err := asker.Request("work", nil, nats.DefaultTimeout)
		return err
	})
	if got := names(t, asker); len(got) != 0 {
		t.Errorf("got %q in the fleet, want none", got)
	}
}

const left = "worker left the fleet: NATS allows no more subscriptions"

func TestAWorkerLeavesTheFleetWhereSubscriptionsAreScarce(t *testing.T) {
	t.Parallel()
	var log lines
	server, _ := limited(t, 5)
	nc, unhandled := member(t, server, &log)
	natstest.Eventually(t, func() error {
		if log.count(left) == 0 || nc.NumSubscriptions() != 1 {
			return fmt.Errorf("still a member, with %d subscriptions", nc.NumSubscriptions())
		}
		return nil
	})
	for range 4 { // the server has given them all back
		if _, err := nc.SubscribeSync("more"); err != nil {
			t.Fatal(err)
		}
	}
	works(t, server)
	if n := log.count("\n"); n != 1 || len(unhandled) != 0 {
		t.Errorf("got %d lines and %d unhandled errors, want one line", n, len(unhandled))
	}
}

// After a reconnect the client subscribes again in any order, so what is refused may be the worker's own.
func TestAWorkerLosesNoSubscriptionWhenTheyBecomeScarce(t *testing.T) {
	t.Parallel()
	for range 3 {
		var log lines
		server, set := limited(t, 20)
		nc, _ := member(t, server, &log)
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		set(2)
		natstest.Eventually(t, func() error {
			if log.count(left) == 0 {
				return errors.New("still a member")
			}
			return nil
		})
		works(t, server)
	}
}
