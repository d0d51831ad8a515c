package app_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// denials are the permissions that a worker missed.
func (p *worker) denials() []string {
	var all []string
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, "NATS reported permission violation") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

func TestAWorkerDoesItsWholeJobWithTheDocumentedPermissions(t *testing.T) {
	t.Parallel()
	for name, conf := range ackForms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, conf)
			g.provision()
			g.doesItsWholeJob()
			g.subscribe(8)
		})
	}
}

// doesItsWholeJob takes workers through all that they do: eight events' worth.
func (g *guarded) doesItsWholeJob() {
	t := g.t
	t.Helper()
	_, publisher := g.as("PUBLISHER")
	submit := func(id string, plan anchortest.Plan) {
		t.Helper()
		if _, err := publisher.Publish(t.Context(), "tasks.request", g.request(id, plan)); err != nil {
			t.Fatal(err)
		}
	}
	first := g.start("w1", g.guardedEnv()...)
	natstest.Eventually(t, func() error { return first.logged("worker is ready") })

	submit("a", done)
	g.waitEvents(1)
	g.waitState("a", task.Succeeded)
	submit("a", done) // a replay
	submit("a", running(time.Second))
	g.waitEvents(3)
	room := 1<<20 - 50 - len(g.request("large", filled(0))) // the event has more about it than the request
	submit("large", filled(room))
	if _, err := publisher.Publish(t.Context(), "tasks.request", []byte(`{broken`)); err != nil {
		t.Fatal(err)
	}
	g.waitEvents(5)
	if n := len(g.bodies("TASK_DEAD")); n != 2 {
		t.Errorf("got %d dead letters, want those of the broken request and of the id that was used", n)
	}
	submit("slow", blocked)
	g.waitState("slow", task.Running)
	submit("slow", blocked) // a copy of a running task: the worker looks for the first request
	natstest.Eventually(t, func() error { return first.logged("duplicate of a running task") })
	submit("killed", blocked)
	g.waitState("killed", task.Running)
	first.kill()
	second := g.start("w2", g.guardedEnv()...)
	for _, id := range []string{"slow", "killed"} {
		g.waitTakenOver(id) // it has looked for an event on the results stream
		g.release(id)
	}
	g.waitEvents(7)
	g.waitQuiet()
	second.drain()
	third := g.start("w3", g.guardedEnv()...)
	natstest.Eventually(t, func() error { return third.logged("worker is ready") })
	submit("moved", blocked)
	g.waitState("moved", task.Running)
	g.start("w4", g.guardedEnv()...)
	third.drain()
	g.release("moved")
	g.waitEvents(8)
	for _, p := range []*worker{first, second, third} {
		if missed := p.denials(); len(missed) > 0 {
			t.Errorf("a worker was denied %s", strings.Join(missed, "\n"))
		}
	}
}

// request is a task request with a plan for the stand-in.
func (w *world) request(id string, plan anchortest.Plan) []byte {
	w.t.Helper()
	request, err := json.Marshal(map[string]string{"task_id": id, "url": "https://example.com", "prompt": w.prompt(id, plan)})
	if err != nil {
		w.t.Fatal(err)
	}
	return request
}

// filled is the plan of a task whose result has that many bytes, and two quotes.
func filled(n int) anchortest.Plan {
	return anchortest.Plan{Result: json.RawMessage(`"` + strings.Repeat("x", n) + `"`)}
}

// subscribe reads all events as the subscriber, and the large result.
func (g *guarded) subscribe(want int) {
	g.t.Helper()
	js, undenied := g.watched("SUBSCRIBER")
	defer undenied()
	billing, err := js.Consumer(g.t.Context(), "TASK_RESULTS", "billing")
	if err != nil {
		g.t.Fatal(err)
	}
	large := 0
	for range want {
		msg, err := billing.Next()
		if err != nil {
			g.t.Fatal(err)
		}
		if err := msg.DoubleAck(g.t.Context()); err != nil {
			g.t.Fatal(err)
		}
		var ev task.Event
		if err := json.Unmarshal(msg.Data(), &ev); err != nil {
			g.t.Fatal(err)
		}
		if ev.ResultRef != nil {
			large++
			g.read(js, ev.ResultRef.Name, int(ev.ResultRef.Size))
		}
	}
	if large != 1 {
		g.t.Errorf("got %d large results, want 1", large)
	}
}

// read reads an object of that size.
func (g *guarded) read(js jetstream.JetStream, name string, size int) {
	g.t.Helper()
	objects, err := js.ObjectStore(g.t.Context(), "task_results")
	if err != nil {
		g.t.Fatal(err)
	}
	if data, err := objects.GetBytes(g.t.Context(), name); err != nil || len(data) != size {
		g.t.Errorf("got %d bytes of %s, %v, want %d", len(data), name, err, size)
	}
}

// watched connects as a role. undenied fails the test where the role was denied anything.
func (g *guarded) watched(role string) (js jetstream.JetStream, undenied func()) {
	g.t.Helper()
	violations := make(chan error, 1000)
	nc, js := g.as(role, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err }))
	return js, func() {
		g.t.Helper()
		if err := nc.Flush(); err != nil {
			g.t.Error(err)
		}
		select {
		case err := <-violations:
			g.t.Errorf("%s was denied: %v", role, err)
		default:
		}
	}
}

// An object that is stored twice purges its first chunks, and a large one is read with flow control.
func TestTheWorkersPermissionsDoForTheLargestResults(t *testing.T) {
	t.Parallel()
	for name, conf := range ackForms() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, conf)
			g.provision()
			g.storesTheLargest()
		})
	}
}

func (g *guarded) storesTheLargest() {
	t := g.t
	t.Helper()
	js, undenied := g.watched("WORKER")
	objects, err := js.ObjectStore(t.Context(), "task_results")
	if err != nil {
		t.Fatal(err)
	}
	const size = 32 << 20
	for range 2 {
		if _, err := objects.PutBytes(t.Context(), "a", make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	g.read(js, "a", size)
	undenied()
	js, undenied = g.watched("SUBSCRIBER")
	g.read(js, "a", size)
	undenied()
}

func TestEachRoleIsRefusedWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	api := func(names ...string) []string {
		for i := range names {
			names[i] = "$JS.API." + names[i]
		}
		return names
	}
	for role, forbidden := range map[string][]string{
		"PUBLISHER": append(api("STREAM.INFO.TASKS", "STREAM.MSG.GET.TASK_RESULTS", "CONSUMER.MSG.NEXT.TASKS.worker", "STREAM.DELETE.TASKS"),
			"tasks.result", "tasks.dead", "$KV.task_tracker.a", "$O.task_results.C.a", "$JS.ACK.TASKS.worker.1.1.1.1.0",
			"$KV.task_control.cancel.a", "$KV.task_control.cancel-batch.a", "$KV.task_control.pause", "capstan.worker.task"),
		"WORKER": append(api("STREAM.CREATE.X", "STREAM.UPDATE.TASKS", "STREAM.DELETE.TASKS", "STREAM.PURGE.TASKS", "STREAM.PURGE.KV_task_tracker",
			"STREAM.MSG.DELETE.TASKS", "CONSUMER.DELETE.TASKS.worker", "CONSUMER.DELETE.TASK_RESULTS.billing", "CONSUMER.CREATE.TASK_RESULTS.billing",
			"CONSUMER.MSG.NEXT.TASK_RESULTS.billing", "STREAM.PURGE.KV_task_control"), "tasks.request", "$KV.other.a", "_INBOX_publisher.a",
			"$KV.task_control.cancel.a", "$KV.task_control.cancel-batch.a", "$KV.task_control.pause"),
		"SUBSCRIBER": append(api("STREAM.DELETE.TASK_RESULTS", "STREAM.PURGE.TASK_RESULTS", "STREAM.MSG.GET.TASKS", "STREAM.PURGE.OBJ_task_results",
			"CONSUMER.CREATE.TASK_RESULTS.billing", "CONSUMER.MSG.NEXT.TASKS.worker"), "tasks.request", "tasks.result", "$KV.task_tracker.a", "$O.task_results.C.a",
			"$KV.task_control.cancel.a", "$KV.task_control.pause"),
		"OPERATOR": append(api("STREAM.DELETE.TASKS", "STREAM.PURGE.TASKS", "STREAM.MSG.DELETE.TASKS", "CONSUMER.MSG.NEXT.TASKS.worker", "CONSUMER.CREATE.TASKS.x",
			"CONSUMER.DELETE.TASKS.worker", "CONSUMER.DELETE.TASK_RESULTS.billing", "CONSUMER.MSG.NEXT.TASK_RESULTS.billing", "STREAM.PURGE.KV_task_control"),
			"tasks.result", "tasks.dead", "$KV.task_tracker.a", "$KV.task_control.limits", "$KV.task_control.starts", "$KV.task_control.pace.a"),
	} {
		g.refuses(role, forbidden, func(nc *nats.Conn, subject string) error { return nc.Publish(subject, nil) })
	}
	for role, forbidden := range map[string][]string{
		"PUBLISHER":  {"tasks.result", "tasks.request", "_INBOX_worker.>", "$KV.>", ">"},
		"WORKER":     {"tasks.request", "_INBOX_publisher.>", "_INBOX.>", ">"},
		"SUBSCRIBER": {"tasks.request", "_INBOX_worker.>", "$KV.>", ">"},
		"OPERATOR":   {"tasks.request", "tasks.result", "_INBOX_worker.>", ">"},
	} {
		g.refuses(role, forbidden, func(nc *nats.Conn, subject string) error {
			_, err := nc.SubscribeSync(subject)
			return err
		})
	}
}

// refuses fails the test where the server lets a role use one of the subjects.
func (g *guarded) refuses(role string, subjects []string, use func(*nats.Conn, string) error) {
	g.t.Helper()
	refused := make(chan string, len(subjects))
	nc, _ := g.as(role, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err.Error() }))
	for _, subject := range subjects {
		if err := use(nc, subject); err != nil {
			g.t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		g.t.Fatal(err)
	}
	for range subjects {
		select {
		case text := <-refused:
			subjects = slices.DeleteFunc(subjects, func(s string) bool { return strings.Contains(text, `"`+s+`"`) })
		case <-time.After(10 * time.Second):
			g.t.Fatalf("%s may use %q", role, subjects)
		}
	}
	if len(subjects) > 0 {
		g.t.Errorf("%s may use %q", role, subjects)
	}
}
