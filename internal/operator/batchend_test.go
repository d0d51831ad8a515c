package operator_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// batchEnd is how a follower of a batch has ended.
type batchEnd struct {
	operator.BatchEnd
	events int
	err    error
}

// follow follows the batch night meanwhile.
func (d *desk) follow(ctx context.Context) <-chan batchEnd {
	ended := make(chan batchEnd, 1)
	go func() {
		var got batchEnd
		got.BatchEnd, got.err = d.FollowBatch(ctx, "night", jetstream.OrderedConsumerConfig{}, func(operator.Event) { got.events++ })
		ended <- got
	}()
	return ended
}

// finish ends a task of the batch night as a worker does: event, record, and the request's acknowledgement.
func (d *desk) finish(id string, code task.Code, requests ...jetstream.Msg) {
	d.t.Helper()
	const batch = "night"
	ev := task.Event{TaskID: id, Status: task.Succeeded, Batch: batch}
	if code != "" {
		ev.Status, ev.Error = task.Failed, task.NewError(code, "x")
	}
	seq := d.event(ev)
	d.record(task.Record{TaskID: id, State: ev.Status, ErrorCode: code, Batch: batch, ResultSeq: seq})
	for _, msg := range requests {
		if err := msg.DoubleAck(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// pull takes the next request as a worker does.
func (d *desk) pull() jetstream.Msg {
	d.t.Helper()
	consumer, err := d.JS.Consumer(d.t.Context(), "TASKS", "worker")
	if err != nil {
		d.t.Fatal(err)
	}
	msg, err := consumer.Next()
	if err != nil {
		d.t.Fatal(err)
	}
	return msg
}

func TestAFollowedBatchEndsWithItsLastTask(t *testing.T) {
	d := newDesk(t)
	for i := range 3 {
		d.publish(requestWith(fmt.Sprintf(`"task_id":"t%d","batch":"night"`, i)))
	}
	d.publish(requestWith(`"task_id":"other","batch":"day"`))
	d.finish("before", "")
	ended := d.follow(t.Context())
	for i := range 3 {
		select {
		case got := <-ended:
			t.Fatalf("got %+v while tasks are open", got)
		default:
		}
		msg := d.pull()
		d.record(task.Record{TaskID: fmt.Sprint("t", i), State: task.Running, Batch: "night"})
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
	d := newDesk(t)
	d.finish("a", "")
	d.publish(requestWith(`"task_id":"b","batch":"night"`))
	msg := d.pull()
	ended := d.follow(t.Context())
	d.finish("b", task.Timeout, msg)
	if got := <-ended; got.err != nil || got.Failed != 1 || got.Tasks != 2 {
		t.Errorf("got %+v, want both tasks", got)
	}
}

func TestARefusedRequestIsAFailureOfItsBatch(t *testing.T) {
	d := newDesk(t)
	d.finish("a", "")
	seq := d.publish(requestWith(`"task_id":"b","batch":"night","urll":"x"`))
	ended := d.follow(t.Context())
	msg := d.pull()
	meta, err := msg.Metadata()
	if err != nil || meta.Sequence.Stream != seq {
		t.Fatal(err)
	}
	d.event(task.Event{TaskID: "b", Status: task.Failed, Batch: "night", RequestedAt: meta.Timestamp, Error: task.NewError(task.InvalidRequest, "unknown field")})
	if err := msg.DoubleAck(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-ended; got.err != nil || got.Failed != 1 || got.Tasks != 2 {
		t.Errorf("got %+v, want two, one of them refused", got)
	}
}

// The refusal of an earlier request must not end the wait for the corrected one.
func TestACorrectedRequestIsWaitedFor(t *testing.T) {
	d := newDesk(t)
	d.event(task.Event{TaskID: "a", Status: task.Failed, Batch: "night", RequestedAt: time.Now().Add(-time.Hour), Error: task.NewError(task.InvalidRequest, "x")})
	d.publish(requestWith(`"task_id":"a","batch":"night"`))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if got := <-d.follow(ctx); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("got %+v, want the wait to go on", got)
	}
}

func TestABatchOfWhichNothingIsKnownEndsAtOnce(t *testing.T) {
	if got := <-newDesk(t).follow(t.Context()); got.err != nil || got.Tasks != 0 {
		t.Errorf("got %+v, want no tasks", got)
	}
}

func TestAFollowerOutlivesARestartOfNATS(t *testing.T) {
	d := newDesk(t)
	d.publish(requestWith(`"task_id":"a","batch":"night"`))
	d.event(task.Event{TaskID: "other", Status: task.Succeeded})
	looked, ended := make(chan string, 10), make(chan batchEnd, 1)
	go func() {
		end, err := d.FollowBatch(t.Context(), "night", jetstream.OrderedConsumerConfig{}, func(ev operator.Event) { looked <- ev.TaskID })
		ended <- batchEnd{BatchEnd: end, err: err}
	}()
	<-looked
	d.server.Stop()
	d.server.Restart()
	d.finish("a", "", d.pull())
	if got := <-ended; got.err != nil || got.Tasks != 1 || got.Failed != 0 {
		t.Errorf("got %+v, want one task", got)
	}
}

func TestStoredEventsAreReadOnce(t *testing.T) {
	d := newDesk(t)
	events := d.Events(jetstream.OrderedConsumerConfig{})
	read := func() (ids []string) {
		if err := events.Read(t.Context(), func(ev operator.Event) { ids = append(ids, ev.TaskID) }); err != nil {
			t.Fatal(err)
		}
		return ids
	}
	if got := read(); got != nil {
		t.Errorf("got %q, want none", got)
	}
	d.event(task.Event{TaskID: "a", Status: task.Succeeded})
	if _, err := d.JS.Publish(t.Context(), "tasks.result", []byte("no event")); err != nil {
		t.Fatal(err)
	}
	d.event(task.Event{TaskID: "b", Status: task.Succeeded})
	if got := fmt.Sprint(read()); got != "[a b]" {
		t.Errorf("got %s, want both", got)
	}
	d.event(task.Event{TaskID: "c", Status: task.Succeeded})
	if got := fmt.Sprint(read()); got != "[c]" {
		t.Errorf("got %s, want the new one", got)
	}
}
