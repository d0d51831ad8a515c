package app_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// What the tool does for operators, and `nats kv`, they may do with the documented permissions.
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
			g.looks(js)
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

// looks reads what an operator may look at, and asks the workers.
func (g *guarded) looks(js jetstream.JetStream) {
	t := g.t
	t.Helper()
	for _, name := range []string{"KV_task_tracker", "KV_task_control", "TASK_RESULTS", "TASK_DEAD"} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.GetMsg(t.Context(), stream.CachedInfo().State.LastSeq); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, filters := range [][]string{nil, stream.CachedInfo().Config.Subjects} {
			consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: filters})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if _, err := consumer.Next(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, bucket := range []string{"task_tracker", "task_control"} {
		kv, err := js.KeyValue(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		if keys, err := kv.Keys(t.Context()); err != nil || len(keys) == 0 {
			t.Errorf("got the keys %v of %s, %v", keys, bucket, err)
		}
	}
	if _, err := g.requests(js).GetMsg(t.Context(), 1); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("got %v, want the answer that the request has ended", err)
	}
	natstest.Eventually(t, func() error { // a worker joins after its first pull
		all, err := fleet.All(t.Context(), js.Conn())
		if err == nil && len(all) != 1 {
			err = fmt.Errorf("got %+v, want the worker", all)
		}
		return err
	})
	if _, _, err := fleet.Task(t.Context(), js.Conn(), "a"); err != nil {
		t.Error(err)
	}
}

// requests is the stream of requests.
func (g *guarded) requests(js jetstream.JetStream) jetstream.Stream {
	g.t.Helper()
	stream, err := js.Stream(g.t.Context(), "TASKS")
	if err != nil {
		g.t.Fatal(err)
	}
	return stream
}
