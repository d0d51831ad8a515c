package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
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
