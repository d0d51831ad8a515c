package app_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// controlStream is the stream behind the control bucket, as an operator creates it.
func controlStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "KV_task_control", Subjects: []string{"$KV.task_control.>"}, MaxMsgsPerSubject: 1,
		Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true, AllowMsgTTL: true, Metadata: map[string]string{"capstan": "control"},
	}
}

// lastSeq is the last sequence of a stream.
func (w *world) lastSeq(stream string) uint64 {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), stream)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

func TestWorkersShareWhatTheyLearnInABucketThatTheyCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runsATask(w.startReady("w1"), "a")
	got := w.config("KV_task_control")
	if got.Metadata["capstan"] != "control" || got.AllowDirect || !got.AllowMsgTTL || got.MaxMsgsPerSubject != 1 {
		t.Errorf("got %+v", got)
	}
	first := w.lastSeq("KV_task_control")
	w.runsATask(w.startReady("w2"), "b")
	if second := w.lastSeq("KV_task_control"); first == 0 || second <= first {
		t.Errorf("got sequences %d and %d, want a value of each worker", first, second)
	}
}

// The documented operator creates the streams with a worker that cannot pull, and stops it.
func TestAWorkerThatProvisionsCreatesTheControlBucket(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.provision()
	if got := g.config("KV_task_control"); got.Metadata["capstan"] != "control" {
		t.Errorf("got %+v", got)
	}
}

// A worker goes on without the bucket: with the documented permissions, and ready.
func TestAWorkerGoesOnWithoutAUsableControlBucket(t *testing.T) {
	t.Parallel()
	edited := func(edit func(*jetstream.StreamConfig)) jetstream.StreamConfig {
		cfg := controlStream()
		edit(&cfg)
		return cfg
	}
	for name, cfg := range map[string]jetstream.StreamConfig{
		"missing":               {},
		"direct reads":          edited(func(c *jetstream.StreamConfig) { c.AllowDirect = true }),
		"another application's": edited(func(c *jetstream.StreamConfig) { c.AllowMsgTTL, c.Metadata = false, nil }),
		"another kind":          {Name: "KV_task_control", Subjects: []string{"theirs"}, Retention: jetstream.WorkQueuePolicy},
		"full":                  edited(func(c *jetstream.StreamConfig) { c.MaxBytes = 100 }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t)
			g.provision()
			// On a busy machine the operator's worker may have gone on without it.
			if err := g.js.DeleteStream(t.Context(), "KV_task_control"); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Fatal(err)
			}
			if cfg.Name != "" {
				natstest.Stream(t, g.js, cfg)
				cfg = g.config(cfg.Name)
			}
			p := g.start("w1", g.guardedEnv()...)
			natstest.Eventually(t, func() error { return p.logged("worker is ready") })
			g.runsATask(p, "a")
			if err := p.logged("control bucket unusable, worker goes on without it"); err != nil {
				t.Error(err)
			}
			if missed := p.denials(); len(missed) > 0 {
				t.Errorf("the worker was denied %s", strings.Join(missed, "\n"))
			}
			if cfg.Name != "" && (!reflect.DeepEqual(cfg, g.config(cfg.Name)) || g.lastSeq(cfg.Name) != 0) {
				t.Errorf("got %+v with last sequence %d, want the bucket as it was", g.config(cfg.Name), g.lastSeq(cfg.Name))
			}
		})
	}
}

// A worker that provisions may lack what only this bucket would need. It is ready as soon as without the bucket.
func TestAWorkerThatMayNotCreateTheControlBucketGoesOn(t *testing.T) {
	t.Parallel()
	for _, denied := range []string{`"$JS.API.STREAM.NAMES"`, `"$JS.API.STREAM.INFO.KV_task_control"`, `"$JS.API.STREAM.CREATE.KV_task_control"`, `"$KV.task_control.>"`} {
		t.Run(denied, func(t *testing.T) {
			t.Parallel()
			w := newWorldOf(t, fmt.Sprintf(`accounts { A { jetstream: enabled, users: [
				{ user: test, password: test }, { user: worker, password: worker, permissions: { publish: { deny: [%s] } } }
			] } }`, denied), nats.UserInfo("test", "test"))
			if strings.Contains(denied, "NAMES") { // the bucket's subjects are another stream's
				natstest.Stream(t, w.js, jetstream.StreamConfig{Name: "THEIRS", Subjects: []string{"$KV.task_control.>"}})
			}
			p := w.startReady("w1", "NATS_USER=worker", "NATS_PASSWORD=worker")
			w.runsATask(p, "a")
			for _, line := range p.denials() {
				if !strings.Contains(line, "task_control") || !strings.Contains(line, `"level":"warn"`) {
					t.Errorf("got %s, want warnings about task_control only", line)
				}
			}
			if err := p.logged("control bucket unusable"); err != nil {
				t.Error(err)
			}
		})
	}
}
