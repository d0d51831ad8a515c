package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// batchEnd is how a follower of a batch has ended.
type batchEnd struct {
	inspect.BatchEnd
	events int
	err    error
}

func TestAFollowedBatchEndsWithItsLastTask(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for i := range 3 {
		d.Publish(operatortest.Request(fmt.Sprint("t", i), `"batch":"night"`))
	}
	d.Publish(operatortest.Request("other", `"batch":"day"`))
	d.finish("before", "")
	ended := d.follow(t.Context())
	for i := range 3 {
		select {
		case got := <-ended:
			t.Fatalf("got %+v while tasks are open", got)
		default:
		}
		msg := d.Pull()
		d.WriteRecord(task.Record{TaskID: fmt.Sprint("t", i), State: task.Running, Batch: "night"})
		code := task.Code("")
		if i == 1 {
			code = task.Timeout
		}
		d.finish(fmt.Sprint("t", i), code, msg)
	}
	if got := <-ended; got.err != nil || got.Tasks != 4 || got.Failed != 1 || got.events != 4 {
		t.Errorf("got %+v, want four tasks, one of them failed, and their events", got)
	}
}

// While workers hold requests, one of them may be of the batch and have no record yet.
func TestABatchIsNotDoneBetweenARequestAndItsRecord(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.finish("a", "")
	d.Publish(operatortest.Request("b", `"batch":"night"`))
	msg := d.Pull()
	ended := d.follow(t.Context())
	d.finish("b", task.Timeout, msg)
	if got := <-ended; got.err != nil || got.Failed != 1 || got.Tasks != 2 {
		t.Errorf("got %+v, want both tasks", got)
	}
}

func TestARefusedRequestIsAFailureOfItsBatch(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.finish("a", "")
	seq := d.Publish(operatortest.Request("b", `"batch":"night","urll":"x"`))
	ended := d.follow(t.Context())
	msg := d.Pull()
	meta, err := msg.Metadata()
	if err != nil || meta.Sequence.Stream != seq {
		t.Fatal(err)
	}
	d.WriteEvent(task.Event{TaskID: "b", Status: task.Failed, Batch: "night", RequestedAt: meta.Timestamp, Error: task.NewError(task.InvalidRequest, "unknown field")})
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-ended; got.err != nil || got.Failed != 1 || got.Tasks != 2 {
		t.Errorf("got %+v, want two, one of them refused", got)
	}
}

// A worker that dies right after it has taken a request leaves no record of it. Until ACK_WAIT has passed, only the stream says
// that its task has not ended.
func TestARequestWithoutARecordHasNotEnded(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.finish("a", "") // which was in the batch before
	d.Publish(operatortest.Request("b", `"batch":"night"`))
	d.Publish(operatortest.Request("c", `"batch":"day"`))
	d.Take(2) // by a worker that has died
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if got := <-d.follow(ctx); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("got %+v, want the wait to go on", got)
	}
	if got := d.find("b"); got.State != inspect.Queued || got.Position != 1 {
		t.Errorf("got %+v, want a queued task that is the first in line", got)
	}
	if got := d.list(inspect.Listing{States: []inspect.State{inspect.Queued}, Batch: "night"}); got != "b" {
		t.Errorf("got %q, want b", got)
	}
	for batch, want := range map[string]int{"": 2, "night": 1, "day": 1, "other": 0} {
		if got := d.look(inspect.NewView(d.Queue, batch)).Queued; got != want {
			t.Errorf("batch %q: got %d queued, want %d", batch, got, want)
		}
	}
}

// The refusal of an earlier request must not end the wait for the corrected one.
func TestACorrectedRequestIsWaitedFor(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.WriteEvent(task.Event{TaskID: "a", Status: task.Failed, Batch: "night", RequestedAt: time.Now().Add(-time.Hour), Error: task.NewError(task.InvalidRequest, "x")})
	d.Publish(operatortest.Request("a", `"batch":"night"`))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if got := <-d.follow(ctx); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("got %+v, want the wait to go on", got)
	}
}

func TestABatchOfWhichNothingIsKnownEndsAtOnce(t *testing.T) {
	t.Parallel()
	if got := <-newDesk(t).follow(t.Context()); got.err != nil || got.Tasks != 0 {
		t.Errorf("got %+v, want no tasks", got)
	}
}

func TestAFollowerOutlivesARestartOfNATS(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.Publish(operatortest.Request("a", `"batch":"night"`))
	d.WriteEvent(task.Event{TaskID: "other", Status: task.Succeeded})
	looked, ended := make(chan string, 10), make(chan batchEnd, 1)
	go func() {
		end, err := inspect.FollowBatch(t.Context(), d.Queue, "night", jetstream.OrderedConsumerConfig{}, func(ev operator.Event) { looked <- ev.TaskID })
		ended <- batchEnd{BatchEnd: end, err: err}
	}()
	<-looked
	d.Server.Stop()
	d.Server.Restart()
	d.finish("a", "", d.Pull())
	if got := <-ended; got.err != nil || got.Tasks != 1 || got.Failed != 0 {
		t.Errorf("got %+v, want one task", got)
	}
}
