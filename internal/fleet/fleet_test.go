package fleet_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// join adds a worker to the fleet, over a connection of its own.
func join(t *testing.T, server *natstest.Server, name, version string) (nc *nats.Conn, leave func() error) {
	t.Helper()
	nc, _ = server.Connect()
	leave, err := fleet.Join(nc, version, func() fleet.Status {
		return fleet.Status{Worker: name, Version: version, InProgress: 3, Running: 2, MaxInFlight: 1000, Submissions: "ok", Polls: "ok"}
	})
	if err != nil {
		t.Fatal(err)
	}
	return nc, leave
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

// What `nats service info capstan-worker` shows.
func TestTheStatusIsPartOfTheStatistics(t *testing.T) {
	server := natstest.Start(t)
	asker, _ := server.Connect()
	for _, version := range []string{"v1.2.3", "1.2.3-rc.1+x", "(devel)", ""} {
		_, leave := join(t, server, "a", version)
		natstest.Eventually(t, func() error {
			msg, err := asker.Request("$SRV.STATS."+fleet.Service, nil, nats.DefaultTimeout)
			if err != nil {
				return err
			}
			var stats struct {
				Metadata  map[string]string
				Endpoints []struct{ Data fleet.Status }
			}
			if err := json.Unmarshal(msg.Data, &stats); err != nil {
				return err
			}
			if len(stats.Endpoints) != 1 || stats.Endpoints[0].Data.Running != 2 || stats.Metadata["worker"] != "a" {
				return errors.New("got " + string(msg.Data))
			}
			return nil
		})
		if err := leave(); err != nil {
			t.Fatal(err)
		}
	}
}
