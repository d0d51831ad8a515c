package fleet_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// join adds a worker to the fleet, over a connection of its own.
func join(t *testing.T, server *natstest.Server, name, version string) (nc *nats.Conn, leave func() error) {
	t.Helper()
	nc, _ = server.Connect()
	m := fleet.New(zerolog.Nop())
	m.Join(nc, version, status(name, version), nil)
	if err := nc.Flush(); err != nil { // the server has its subscriptions
		t.Fatal(err)
	}
	return nc, m.Leave
}

func status(name, version string) func() fleet.Status {
	return func() fleet.Status {
		return fleet.Status{Worker: name, Version: version, InProgress: 3, Running: 2, MaxInFlight: 1000, Submissions: "ok", Polls: "ok"}
	}
}

// names are the workers that answer.
func names(t *testing.T, nc *nats.Conn) []string {
	t.Helper()
	all, err := fleet.All(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	for _, s := range all {
		found = append(found, s.Worker)
	}
	slices.Sort(found)
	return found
}

func TestWorkersThatRunAreListed(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	asker, _ := server.Connect()
	if got := names(t, asker); len(got) != 0 {
		t.Errorf("got %q, want none", got)
	}
	_, leave := join(t, server, "a", "v1.2.3")
	closed, _ := join(t, server, "b", "(devel)")
	join(t, server, "c", "v1.2.3-rc.1")
	want := func(want ...string) {
		t.Helper()
		natstest.Eventually(t, func() error {
			if got := names(t, asker); !slices.Equal(got, want) {
				return fmt.Errorf("got %q, want %q", got, want)
			}
			return nil
		})
	}
	want("a", "b", "c")
	if err := leave(); err != nil {
		t.Fatal(err)
	}
	want("b", "c")
	closed.Close()
	want("c")
}

// stats is what `nats service stats capstan-worker` asks for.
type stats struct {
	Version   string
	Metadata  map[string]string
	Endpoints []struct{ Data fleet.Status }
}

func askStats(t *testing.T, asker *nats.Conn) (got stats) {
	t.Helper()
	natstest.Eventually(t, func() error {
		msg, err := asker.Request("$SRV.STATS."+fleet.Service, nil, nats.DefaultTimeout)
		if err != nil {
			return err
		}
		return json.Unmarshal(msg.Data, &got)
	})
	return got
}

func TestTheStatusIsPartOfTheStatistics(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	asker, _ := server.Connect()
	join(t, server, "a", "v1.2.3")
	got := askStats(t, asker)
	if len(got.Endpoints) != 2 || got.Endpoints[0].Data.Running != 2 || got.Metadata["worker"] != "a" {
		t.Errorf("got %+v", got)
	}
}

// The framework refuses a service whose version is not semantic (semver.org). The real one is always in the metadata.
func TestAWorkerOfAnyVersionIsListed(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	asker, _ := server.Connect()
	for version, want := range map[string]string{
		"v1.2.3":                             "1.2.3",
		"1.2.3-rc.1+x":                       "1.2.3-rc.1+x",
		"v0.0.0-20260102030405-0a1b2c3d4e5f": "0.0.0-20260102030405-0a1b2c3d4e5f",
		"v1.2.4-0.20260102030405-0a1b2c3d4e5f+dirty": "1.2.4-0.20260102030405-0a1b2c3d4e5f+dirty",
		"v2.0.0+incompatible":                        "2.0.0+incompatible",
		"(devel)":                                    "0.0.0",
		"devel":                                      "0.0.0",
		"":                                           "0.0.0",
		"01.2.3":                                     "0.0.0",
		"1.2.3-01":                                   "0.0.0",
		"1.2.3-a..b":                                 "0.0.0",
		"1.2":                                        "0.0.0",
	} {
		nc, leave := join(t, server, "a", version)
		if got := askStats(t, asker); got.Version != want || got.Metadata["version"] != version {
			t.Errorf("%q: got %q and metadata %q, want %q", version, got.Version, got.Metadata, want)
		}
		if err := leave(); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil { // the server no longer has its subscriptions
			t.Fatal(err)
		}
	}
}

// A worker publishes an answer with its own permissions, and the asker chooses the subject.
func TestAnAnswerGoesOnlyToAnInbox(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	asker, _ := server.Connect()
	join(t, server, "a", "v1.2.3")
	answers := make(chan *nats.Msg, 100)
	for _, reply := range []string{"tasks.request", "$KV.task_tracker.x", "_inbox.x", "x._INBOX.x", "_INBOX.x", "_INBOX_operator.x"} {
		if _, err := asker.ChanSubscribe(reply, answers); err != nil {
			t.Fatal(err)
		}
		if err := asker.PublishRequest(jet.StatusSubject, reply, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"_INBOX.x", "_INBOX_operator.x"} { // the last two, in this order
		if got := (<-answers).Subject; got != want {
			t.Errorf("got an answer to %s, want one to %s", got, want)
		}
	}
	prefixed, _ := server.Connect(nats.CustomInboxPrefix("_INBOX_operator"))
	if got := names(t, prefixed); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %q, want a", got)
	}
}

// Workers share the setting of the prefix, whatever it is.
func TestWorkersWithAnyInboxPrefixKnowOfEachOther(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	for _, name := range []string{"a", "b"} {
		nc, _ := server.Connect(nats.CustomInboxPrefix("replies.capstan"))
		fleet.New(zerolog.Nop()).Join(nc, "v1.2.3", status(name, "v1.2.3"), nil)
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
		if name == "b" {
			if got := names(t, nc); !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("got %q, want a and b", got)
			}
		}
	}
}
