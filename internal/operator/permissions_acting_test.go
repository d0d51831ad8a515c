package operator_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// limitedQueue returns the queue for a login that may publish to these subjects only, on a server with the stream of
// requests and a bucket for steering.
func limitedQueue(t *testing.T, publish ...string) operator.Queue {
	t.Helper()
	q, _ := limitedSite(t, publish...)
	return q
}

// limitedSite also returns the site that a login with all permissions sees.
func limitedSite(t *testing.T, publish ...string) (operator.Queue, *site) {
	t.Helper()
	limited := &server.User{Username: "limited", Password: "p", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}}
	s := natstest.Run(t, &server.Options{JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{{Username: "admin", Password: "p"}, limited}})
	connect := func(user string) (*nats.Conn, jetstream.JetStream) {
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, "p"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(2*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return nc, js
	}
	all, admin := connect("admin")
	natstest.Stream(t, admin, jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy})
	natstest.Stream(t, admin, bucketConfig("task_control"))
	nc, js := connect("limited")
	cfg := toolConfig(t)
	return operator.Queue{Conn: nc, JS: js, Config: cfg}, &site{Queue: operator.Queue{Conn: all, JS: admin, Config: cfg}, t: t}
}

// A publisher may read nothing. It can send a batch all the same.
func TestAPublisherCanSendABatch(t *testing.T) {
	q := limitedQueue(t, "tasks.request")
	b, err := operator.Read(operator.File{Name: "a.jsonl", Data: []byte(lines(3)), Batch: "night"}, q.Config)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := q.Prepare(t.Context(), b)
	if err == nil || !strings.Contains(err.Error(), "STREAM.INFO.KV_task_tracker") || sub == nil {
		t.Fatalf("got %v, %v, want the missing permission and a submission", sub, err)
	}
	if err := sub.Send(t.Context(), 3); err != nil || sub.Counts().Stored != 3 {
		t.Errorf("got %+v, %v, want 3 stored", sub.Counts(), err)
	}
}

func TestAMissingPermissionToSendIsNamed(t *testing.T) {
	q := limitedQueue(t, "$JS.API.STREAM.INFO.*")
	b, err := operator.Read(operator.File{Name: "a.jsonl", Data: []byte(lines(1)), Batch: "night"}, q.Config)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := q.Prepare(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.Send(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "missing permission to publish to tasks.request") {
		t.Errorf("got %v, want the missing permission", err)
	}
	if got, want := sub.Counts(), (operator.Counts{All: 1, Unknown: 1}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := q.Cancel(t.Context(), []string{"a"}, task.Cancellation{}); err == nil || !strings.Contains(err.Error(), "STREAM.MSG.GET") && !strings.Contains(err.Error(), "task_tracker") && !strings.Contains(err.Error(), "missing permission") {
		t.Errorf("cancel: got %v, want the missing permission", err)
	}
	if _, err := q.Pause(t.Context(), task.Pause{}); err == nil || !strings.Contains(err.Error(), "STREAM.MSG.GET.KV_task_control") {
		t.Errorf("pause: got %v, want the missing permission", err)
	}
}

// Without this, a body that is kept would count as lost, and its task would be left out.
func TestALargeBodyThatMayNotBeReadStopsTheRedrive(t *testing.T) {
	q, s := limitedSite(t, "$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*", "$JS.API.CONSUMER.>")
	natstest.Stream(t, s.JS, jetstream.StreamConfig{Name: "TASK_DEAD", Subjects: []string{"tasks.dead"}})
	natstest.Stream(t, s.JS, bucketConfig("task_tracker"))
	store, err := s.JS.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "task_results"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutString(t.Context(), "dead/1", requestOf("a")); err != nil {
		t.Fatal(err)
	}
	s.letter("a", "timeout", "", "Capstan-Object", "task_results/dead/1")
	if got := summary(s.plan(anyTask)); got != "a → a.r1" {
		t.Errorf("got %s, want it sent by a login with all permissions", got)
	}
	_, err = q.PlanRedrive(t.Context(), anyTask, nil)
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), "dead letter of task a") || !strings.Contains(err.Error(), "$O.task_results.M.") {
		t.Errorf("got %v, want the missing permission", err)
	}
}
