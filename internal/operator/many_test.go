package operator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// fill publishes many messages at once.
func (d *desk) fill(n int, subject func(i int) string, body func(i int) []byte) {
	d.t.Helper()
	for i := range n {
		if _, err := d.JS.PublishAsync(subject(i), body(i), jetstream.WithStallWait(time.Minute)); err != nil {
			d.t.Fatal(err)
		}
	}
	select {
	case <-d.JS.PublishAsyncComplete():
	case <-d.t.Context().Done():
	}
}

func TestManyTasksAreCounted(t *testing.T) {
	const many = 5000
	d := newDesk(t)
	now := time.Now().UTC()
	d.fill(many, func(i int) string { return fmt.Sprint("$KV.task_tracker.done", i) }, func(i int) []byte {
		return task.Record{TaskID: fmt.Sprint("done", i), State: task.Succeeded, Batch: "night", UpdatedAt: now, RequestedAt: now, FinishedAt: now}.JSON()
	})
	d.fill(many, func(int) string { return "tasks.request" }, func(i int) []byte {
		return []byte(requestWith(fmt.Sprintf(`"task_id":"q%d","batch":"night"`, i)))
	})
	if s := d.look(d.View("night")); s.Succeeded != many || s.Queued != many || s.QueuedAtLeast {
		t.Errorf("got %d ended, %d queued, want %d of each", s.Succeeded, s.Queued, many)
	}
	if got := len(strings.Fields(d.list(operator.Listing{Batch: "night"}))); got != 2*many {
		t.Errorf("got a list of %d, want %d", got, 2*many)
	}
}

// A record that changes while it is read is neither lost nor counted twice.
func TestTasksThatChangeWhileTheyAreReadAreCountedOnce(t *testing.T) {
	const many = 500
	d := newDesk(t)
	write := func(round int) {
		d.fill(many, func(i int) string { return fmt.Sprint("$KV.task_tracker.t", i) }, func(i int) []byte {
			r := task.Record{TaskID: fmt.Sprint("t", i), State: task.Waiting, UpdatedAt: time.Now()}
			if (i+round)%2 == 0 {
				r.State, r.WorkflowID = task.Running, "wf"
			}
			return r.JSON()
		})
	}
	write(0)
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ctx.Err() == nil; i = (i + 7) % many {
			d.fill(20, func(n int) string { return fmt.Sprint("$KV.task_tracker.t", (i+n)%many) }, func(n int) []byte {
				return task.Record{TaskID: fmt.Sprint("t", (i+n)%many), State: task.Submitting, UpdatedAt: time.Now()}.JSON()
			})
		}
	})
	view := d.View("")
	for range 5 {
		for _, v := range []*operator.View{view, d.View("")} {
			if s := d.look(v); s.Open() != many {
				t.Errorf("got %d, want %d", s.Open(), many)
			}
		}
	}
	stop()
	writing.Wait()
	write(1)
	if s := d.look(view); s.Waiting != many/2 || s.Running != many/2 || s.Submitting != 0 {
		t.Errorf("got %d waiting, %d running, want %d of each", s.Waiting, s.Running, many/2)
	}
}

// NATS does not answer a call that it denies.
func TestAMissingPermissionIsNamed(t *testing.T) {
	admin := &server.User{Username: "admin", Password: "x"}
	guest := &server.User{Username: "guest", Password: "x", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.CREATE.KV_task_tracker.>"}},
	}}
	s := natstest.Run(t, &server.Options{JetStream: true, StoreDir: t.TempDir(), Users: []*server.User{admin, guest}})
	connect := func(user string) (*nats.Conn, jetstream.JetStream) {
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, "x"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		return nc, js
	}
	d := bareDesk(t)
	_, js := connect("admin")
	natstest.Stream(t, js, jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy})
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "task_tracker"}); err != nil {
		t.Fatal(err)
	}
	d.Conn, d.JS = connect("guest")
	_, err := d.View("").Status(t.Context())
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), "KV_task_tracker") {
		t.Errorf("got %v, want the permission that is missing", err)
	}
}
