package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// runsATask has a worker run a task and drain, and fails the test unless it is ready until then.
func (w *world) runsATask(p *worker, id string) {
	w.t.Helper()
	before := len(w.events())
	w.submit(id, done)
	if ev := w.waitEvents(before + 1)[before]; ev.Status != task.Succeeded {
		w.t.Errorf("got %+v, want success", ev.Event)
	}
	p.ready("permissions: ok")
	if !strings.Contains(p.get("/readyz"), "streams: bound\n") {
		w.t.Errorf("got\n%s\nwant streams without a warning", p.get("/readyz"))
	}
	p.drain()
	w.waitQuiet()
}

// An operator sees all workers that run.
func TestTheOperatorListsTheWorkers(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.provision()
	for _, name := range []string{"w1", "w2"} {
		p := g.start(name, g.guardedEnv()...)
		natstest.Eventually(t, func() error { return p.logged("worker is ready") })
	}
	asker, _ := g.as("OPERATOR")
	natstest.Eventually(t, func() error {
		all, err := fleet.All(t.Context(), asker)
		if err == nil && (len(all) != 2 || all[0].MaxInFlight == 0 || all[0].Submissions != "ok") {
			err = fmt.Errorf("got %+v, want two workers", all)
		}
		return err
	})
}

// The framework's subscriptions must not take those that a worker needs to pull and to publish.
func TestAWorkerWorksWhereSubscriptionsAreScarce(t *testing.T) {
	t.Parallel()
	for most := 4; most <= 12; most += 2 {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			t.Parallel()
			w := newWorldOf(t, fmt.Sprintf(`accounts {
				A { jetstream: enabled, users: [{ user: worker, password: worker }], limits { max_subscriptions: %d } }
			}`, most), nats.UserInfo("worker", "worker"))
			p := w.startReady("w1", "NATS_USER=worker", "NATS_PASSWORD=worker")
			natstest.Eventually(t, func() error { return p.logged("worker left the fleet: NATS allows no more subscriptions") })
			began := time.Now()
			w.runsATask(p, "a")
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("a task took %v", took)
			}
			log := p.log.String()
			if n := strings.Count(log, "worker left the fleet"); n != 1 || strings.Contains(log, "refused the login") || strings.Contains(log, `"level":"error"`) {
				t.Errorf("got %d lines about it in\n%s\nwant one, and no error", n, log)
			}
		})
	}
}
