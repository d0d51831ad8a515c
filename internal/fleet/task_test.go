package fleet_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// has adds a worker that has one task to the fleet.
func has(t *testing.T, server *natstest.Server, worker, taskID string) fleet.TaskStatus {
	t.Helper()
	has := fleet.TaskStatus{
		Worker: worker, TaskID: taskID, Step: "submit", Since: time.Unix(1, 0).UTC(),
		WaitsFor: task.ForPlan, WaitsUntil: time.Unix(2, 0).UTC(), NextPoll: time.Unix(3, 0).UTC(), Polls: 4,
	}
	nc, _ := server.Connect()
	fleet.New(zerolog.Nop()).Join(nc, "v1.2.3", status(worker, "v1.2.3"), func(id string) (fleet.TaskStatus, bool) { return has, id == taskID })
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return has
}

func TestOnlyTheWorkerThatHasATaskAnswers(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	asker, _ := server.Connect()
	absent := func(id string) {
		t.Helper()
		began := time.Now()
		if got, found, err := fleet.Task(t.Context(), asker, id); found || err != nil {
			t.Errorf("got %+v, %v, %v for %.20q, want none", got, found, err, id)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("got no answer after %v, want that within 500 ms", took)
		}
	}
	absent("a") // no worker runs
	join(t, server, "old", "v1.2.3")
	has(t, server, "w1", "b")
	want := has(t, server, "w2", "a")
	natstest.Eventually(t, func() error {
		got, found, err := fleet.Task(t.Context(), asker, "a")
		if err == nil && (!found || !reflect.DeepEqual(got, want)) {
			err = fmt.Errorf("got %+v, %v, want %+v", got, found, want)
		}
		return err
	})
	absent("c")
	absent("")
	absent(strings.Repeat("a", 1000))
}

// Whoever may answer could answer with anything, and for ever.
func TestAWrongAnswerAboutATaskIsIgnored(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	asker, _ := server.Connect()
	bodies := []string{
		"{broken", "{}", `{"worker":"w","task_id":"b"}`, `{"task_id":"a"}`, `{"worker":7,"task_id":"a"}`,
		`{"worker":"` + strings.Repeat("x", 9000) + `","task_id":"a"}`, `{"worker":"w","task_id":"a"}`, "",
	}
	respondOn(t, server, jet.TaskSubject, func(i int) string { return bodies[i] })
	got, found, err := fleet.Task(t.Context(), asker, "a")
	if err != nil || !found || !reflect.DeepEqual(got, fleet.TaskStatus{Worker: "w", TaskID: "a"}) {
		t.Errorf("got %+v, %v, %v, want the right answer only", got, found, err)
	}
	if _, found, err := fleet.Task(t.Context(), asker, "x"); found || err != nil {
		t.Errorf("got an answer about another task: %v, %v", found, err)
	}
}

// A worker publishes an answer with its own permissions, and the asker chooses the subject.
func TestAnAnswerAboutATaskGoesOnlyToAnInbox(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	asker, _ := server.Connect()
	has(t, server, "w1", "a")
	answers := make(chan *nats.Msg, 100)
	for _, reply := range []string{"tasks.request", "$KV.task_control.pause", "_INBOX_operator.x"} {
		if _, err := asker.ChanSubscribe(reply, answers); err != nil {
			t.Fatal(err)
		}
		if err := asker.PublishRequest(jet.TaskSubject, reply, []byte("a")); err != nil {
			t.Fatal(err)
		}
	}
	for got := range answers {
		if got.Subject != "_INBOX_operator.x" {
			t.Errorf("got an answer to %s, want none", got.Subject)
		}
		if got.Subject == "_INBOX_operator.x" { // the last one
			break
		}
	}
}
