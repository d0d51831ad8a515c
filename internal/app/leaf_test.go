package app_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// leafWorld is a world whose streams are at a hub, and workers there and at a leaf node. The user "worker" has the permissions of a worker that does not provision, the user "test" all.
type leafWorld struct {
	*world
	hub, leaf string // addresses
	leafJS    jetstream.JetStream
}

// newLeafWorld starts both servers, the leaf with a JetStream of this domain or, for "", without JetStream. Then it creates
// the streams at the hub: a worker with the user "test" does.
func newLeafWorld(t *testing.T, leafDomain string) *leafWorld {
	t.Helper()
	w := &leafWorld{world: newWorld(t)}
	cfg, err := app.LoadToolConfig()
	if err != nil {
		t.Fatal(err)
	}
	atHub := cfg.Streams().Permissions()
	cfg.NATS.JSDomain = "hub"
	atLeaf := cfg.Streams().Permissions()

	hub := &server.Options{JetStreamDomain: "hub", LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT}}
	w.hub = startServer(t, hub, atHub)
	remote := &url.URL{Scheme: "nats-leaf", User: url.UserPassword("test", "test"), Host: fmt.Sprintf("127.0.0.1:%d", hub.LeafNode.Port)}
	leaf := &server.Options{JetStreamDomain: leafDomain, LeafNode: server.LeafNodeOpts{Remotes: []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}}}}}
	w.leaf = startServer(t, leaf, atLeaf)

	w.nc, w.js = connectTest(t, w.hub)
	_, w.leafJS = connectTest(t, w.leaf)
	provisioning := w.startReady("w0", "NATS_URL="+login("test", w.hub), "NATS_JS_DOMAIN=hub")
	if err := provisioning.logged(`"domain":"hub"`); err != nil { // also of streams that it has just created
		t.Error(err)
	}
	provisioning.drain()
	return w
}

// startServer starts a server, with JetStream if it has a domain, and with two users, of which "worker" may publish only what is allowed, and returns its address.
func startServer(t *testing.T, opts *server.Options, allowed []string) string {
	t.Helper()
	opts.JetStream, opts.StoreDir = opts.JetStreamDomain != "", t.TempDir()
	opts.Users = []*server.User{{Username: "test", Password: "test"}, {Username: "worker", Password: "worker", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Allow: allowed}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>", "$SRV.>", "capstan.worker.status", "capstan.worker.task"}},
	}}}
	return natstest.Run(t, opts).Addr().String()
}

// login returns the URL of a server for a user.
func login(user, address string) string { return "nats://" + user + ":" + user + "@" + address }

func connectTest(t *testing.T, address string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(login("test", address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute)) // the machine may be busy
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// startAt starts a worker with the user "worker", and waits until it is ready. Its calls may take long: large results on a
// busy machine.
func (w *leafWorld) startAt(address, name string, extra ...string) *worker {
	w.t.Helper()
	return w.startReady(name, append(extra, "NATS_URL="+login("worker", address), "NATS_PROVISION=false",
		"ANCHORBROWSER_REQUEST_TIMEOUT=30s", "DRAIN_TIMEOUT=40s")...)
}

// copyToLeaf creates a stream at the leaf that is configured as the one of this name at the hub.
func (w *leafWorld) copyToLeaf(name string) {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	natstest.Stream(w.t, w.leafJS, s.CachedInfo().Config)
}

// Two servers and the link between them answer too late on a machine that is busy with other tests, so this one runs alone.
func TestAWorkerAtALeafNodeStoresEverythingAtTheHub(t *testing.T) {
	for name, c := range map[string]struct {
		domain  string
		streams []string // at the leaf
	}{
		"the leaf has no JetStream":          {},
		"the leaf has no streams":            {domain: "leaf"},
		"the leaf has streams of their name": {"leaf", []string{"KV_task_tracker", "KV_task_control", "TASK_RESULTS", "TASK_DEAD", "OBJ_task_results"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLeafWorld(t, c.domain)
			for _, stream := range c.streams {
				w.copyToLeaf(stream)
			}
			w.runsTasks()
			w.sharesAtTheHub()
			if len(c.streams) == 0 {
				return
			}
			for _, bucket := range []string{"KV_task_tracker", "KV_task_control"} {
				s, err := w.leafJS.Stream(t.Context(), bucket)
				if err != nil {
					t.Fatal(err)
				}
				if got := s.CachedInfo().State.LastSeq; got != 0 {
					t.Errorf("got %d messages written to %s at the leaf, want none", got, bucket)
				}
			}
		})
	}
}

// runsTasks runs a task of each kind at the leaf, and hands one over to a worker at the hub: five events' worth.
func (w *leafWorld) runsTasks() {
	t := w.t
	t.Helper()
	first := w.startAt(w.leaf, "w1", "NATS_JS_DOMAIN=hub")
	w.submit("a", done)
	w.waitEvents(1)
	w.waitState("a", task.Succeeded)
	w.publish(`{broken`)
	w.waitEvents(2)
	if n := len(w.bodies("TASK_DEAD")); n != 1 {
		t.Errorf("got %d dead letters, want 1", n)
	}
	w.runsLarge()
	w.submit("moved", blocked)
	w.waitState("moved", task.Running)
	first.kill()
	second := w.startAt(w.hub, "w2", "NATS_JS_DOMAIN=hub")
	w.waitTakenOver("moved")
	w.release("moved")
	w.waitEvents(4)
	if got := w.seen("moved", blocked).Accepted; got != 1 {
		t.Errorf("got %d submissions of the task, want 1", got)
	}
	w.waitQuiet()
	second.drain()
	third := w.startAt(w.hub, "w3")
	w.submit("b", done)
	w.waitEvents(5)
	w.waitState("b", task.Succeeded)
	w.waitQuiet()
	third.drain()
	for _, p := range []*worker{first, second, third} {
		if missed := p.denials(); len(missed) > 0 {
			t.Errorf("a worker was denied %s", strings.Join(missed, "\n"))
		}
	}
}

// runsLarge runs a task whose result goes to the object store, and reads it at the hub.
func (w *leafWorld) runsLarge() {
	t := w.t
	t.Helper()
	room := 1<<20 - 50 - len(w.request("large", filled(0))) // the event has more about it than the request
	w.publish(string(w.request("large", filled(room))))
	events := w.waitEvents(3)
	ref := events[2].ResultRef
	if ref == nil {
		t.Fatalf("got %+v, want a result in the object store", events[2].Event)
	}
	objects, err := w.js.ObjectStore(t.Context(), ref.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := objects.GetBytes(t.Context(), ref.Name); err != nil || uint64(len(data)) != ref.Size {
		t.Errorf("got %d bytes, %v, want %d", len(data), err, ref.Size)
	}
}

// sharesAtTheHub drains a worker at the leaf that has run a task: then it shares what it has learned.
func (w *leafWorld) sharesAtTheHub() {
	w.t.Helper()
	before := w.lastSeq("KV_task_control")
	p := w.startAt(w.leaf, "w4", "NATS_JS_DOMAIN=hub")
	w.submit("c", done)
	w.waitEvents(6)
	w.steers(p)
	p.drain()
	if after := w.lastSeq("KV_task_control"); after == before {
		w.t.Error("the worker at the leaf wrote nothing to task_control at the hub")
	}
	if missed := p.denials(); len(missed) > 0 {
		w.t.Errorf("the worker was denied %s", strings.Join(missed, "\n"))
	}
	if strings.Contains(p.log.String(), "not shared") {
		w.t.Errorf("the worker could not share:\n%s", p.log.tail())
	}
}

// steers pauses a worker at the leaf by a key at the hub.
func (w *leafWorld) steers(p *worker) {
	w.t.Helper()
	kv := w.controlBucket()
	if _, err := kv.Put(w.t.Context(), "pause", []byte("maintenance")); err != nil {
		w.t.Fatal(err)
	}
	p.ready("submissions: paused: maintenance\n")
	if err := kv.Delete(w.t.Context(), "pause"); err != nil {
		w.t.Fatal(err)
	}
	p.ready("submissions: ok\n")
}
