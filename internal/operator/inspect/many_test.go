package inspect_test

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

	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestManyTasksAreCounted(t *testing.T) {
	t.Parallel()
	const many = 5000
	d := newDesk(t)
	now := time.Now().UTC()
	d.Fill(many, func(i int) string { return fmt.Sprint("$KV.task_tracker.done", i) }, func(i int) []byte {
		return task.Record{TaskID: fmt.Sprint("done", i), State: task.Succeeded, Batch: "night", UpdatedAt: now, RequestedAt: now, FinishedAt: now}.JSON()
	})
	d.Fill(many, func(int) string { return "tasks.request" }, func(i int) []byte {
		return []byte(operatortest.Request(fmt.Sprint("q", i), `"batch":"night"`))
	})
	if s := d.look(inspect.NewView(d.Queue, "night")); s.Succeeded != many || s.Queued != many || s.QueuedAtLeast {
		t.Errorf("got %d ended, %d queued, want %d of each", s.Succeeded, s.Queued, many)
	}
	if got := len(strings.Fields(d.list(inspect.Listing{Batch: "night"}))); got != 2*many {
		t.Errorf("got a list of %d, want %d", got, 2*many)
	}
}

// A record that changes while it is read is neither lost nor counted twice.
func TestTasksThatChangeWhileTheyAreReadAreCountedOnce(t *testing.T) {
	t.Parallel()
	const many = 500
	d := newDesk(t)
	write := func(round int) {
		d.Fill(many, func(i int) string { return fmt.Sprint("$KV.task_tracker.t", i) }, func(i int) []byte {
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
			d.Fill(20, func(n int) string { return fmt.Sprint("$KV.task_tracker.t", (i+n)%many) }, func(n int) []byte {
				return task.Record{TaskID: fmt.Sprint("t", (i+n)%many), State: task.Submitting, UpdatedAt: time.Now()}.JSON()
			})
		}
	})
	view := inspect.NewView(d.Queue, "")
	for range 5 {
		for _, v := range []*inspect.View{view, inspect.NewView(d.Queue, "")} {
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
	t.Parallel()
	q, _ := operatortest.StartLimited(t, server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.CONSUMER.CREATE.KV_task_tracker.>"}},
	})
	_, err := inspect.NewView(q, "").Status(t.Context())
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), "KV_task_tracker") {
		t.Errorf("got %v, want the permission that is missing", err)
	}
}
