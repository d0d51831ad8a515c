package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/redrive"
	"github.com/capstan-worker/capstan/internal/publisher"
)

// What `nats kv` does for operators they may do with the documented permissions. For the tool see
// TestTheOperatorMayRunEachCommand.
func TestTheOperatorSteersWithTheDocumentedPermissions(t *testing.T) {
	t.Parallel()
	for name, conf := range ackForms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, conf)
			g.provision()
			p := g.start("w1", g.guardedEnv()...)
			natstest.Eventually(t, func() error { return p.logged("worker is ready") })
			g.submit("a", done)
			g.publish("{broken")
			g.waitEvents(2)
			js, undenied := g.watched("OPERATOR")
			g.steers(js, p)
			g.lists(js)
			g.plansToRedriveALargeRequest(js)
			undenied()
			if missed := p.denials(); len(missed) > 0 {
				t.Errorf("the worker was denied %s", strings.Join(missed, "\n"))
			}
		})
	}
}

// steers pauses and resumes submissions, and writes and removes marks.
func (g *guarded) steers(js jetstream.JetStream, p *worker) {
	t := g.t
	t.Helper()
	kv, err := js.KeyValue(t.Context(), "task_control")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"cancel.b", "cancel-batch.night", "pause"} {
		if _, err := kv.Put(t.Context(), key, []byte("maintenance")); err != nil {
			t.Error(err)
		}
	}
	p.ready("submissions: paused: maintenance\n")
	natstest.Eventually(t, func() error {
		if got := p.metric("capstan_cancel_marks"); got != 2 {
			return fmt.Errorf("got %v marks, want 2", got)
		}
		return nil
	})
	err = errors.Join(kv.Delete(t.Context(), "pause"), kv.Purge(t.Context(), "cancel.b"), kv.Delete(t.Context(), "cancel-batch.night"))
	if err != nil {
		t.Error(err)
	}
	p.ready("submissions: ok\n")
	if _, err := js.Publish(t.Context(), "tasks.request", g.request("a.r1", done)); err != nil {
		t.Error(err)
	}
	g.waitEvents(3)
}

// lists lists the keys of the buckets.
func (g *guarded) lists(js jetstream.JetStream) {
	t := g.t
	t.Helper()
	for _, bucket := range []string{"task_tracker", "task_control"} {
		kv, err := js.KeyValue(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := kv.Keys(t.Context()); err != nil || len(keys) == 0 {
			t.Errorf("got the keys %v of %s, %v", keys, bucket, err)
		}
	}
}

// plansToRedriveALargeRequest reads a request that is in the object store, because it did not fit into its dead letter.
func (g *guarded) plansToRedriveALargeRequest(js jetstream.JetStream) {
	t := g.t
	t.Helper()
	store, err := g.js.ObjectStore(t.Context(), "task_results")
	if err != nil {
		t.Fatal(err)
	}
	request := g.request("large", filled(800_000))
	if _, err := store.PutBytes(t.Context(), "dead/large", request); err != nil {
		t.Fatal(err)
	}
	letter := &nats.Msg{Subject: "tasks.dead", Header: nats.Header{}}
	letter.Header.Set(publisher.TaskHeader, "large")
	letter.Header.Set(publisher.ObjectHeader, "task_results/dead/large")
	if _, err := g.js.PublishMsg(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	cfg, err := app.LoadToolConfig()
	if err != nil {
		t.Fatal(err)
	}
	q := operator.Queue{Conn: js.Conn(), JS: js, Config: cfg}
	plan, err := redrive.NewPlan(t.Context(), q, redrive.Filter{Tasks: []string{"large"}}, nil)
	if err != nil || len(plan.Tasks) != 1 || len(plan.LeftOut) != 0 {
		t.Errorf("got %+v, %v, want the large request", plan, err)
	}
}
