package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestATaskGoesFromRequestToEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.submit("ord-1", done, `"metadata":{"order":1}`)
	ev := w.waitEvents(1)[0]
	if ev.TaskID != "ord-1" || ev.Status != task.Succeeded || string(ev.Result) != `{"heading":"Hello"}` ||
		ev.WorkflowStatus != "COMPLETED" || string(ev.Metadata) != `{"order":1}` || ev.Attempts != 1 || ev.Worker != "w1" {
		t.Errorf("got %+v", ev.Event)
	}
	if got := ev.header.Get("Nats-Msg-Id"); got != "ord-1" {
		t.Errorf("got message id %q, want ord-1", got)
	}
	if rec := w.waitState("ord-1", task.Succeeded); rec.ResultSeq != 1 || rec.WorkflowID != ev.WorkflowID || rec.Epoch != 1 {
		t.Errorf("got record %+v", rec)
	}
	w.waitQuiet()
}

func TestRestartResumesInsteadOfResubmitting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.startReady("w1")
	for i := range 10 {
		w.submit(fmt.Sprint("t", i), blocked)
	}
	for i := range 10 {
		w.waitState(fmt.Sprint("t", i), task.Running)
	}
	first.kill()
	w.startReady("w2")
	for i := range 10 {
		w.waitTakenOver(fmt.Sprint("t", i))
	}
	w.api.ReleaseAll()
	for _, ev := range w.waitEvents(10) {
		if ev.Status != task.Succeeded || ev.Worker != "w2" || w.record(ev.TaskID).Epoch < 2 {
			t.Errorf("got %+v", ev.Event)
		}
	}
	if twice := w.api.StartedTwice(); len(twice) > 0 {
		t.Errorf("started twice: %v", twice)
	}
	w.waitQuiet()
}

func TestTwoWorkersShareTheLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1", "MAX_IN_FLIGHT=10")
	w.startReady("w2", "MAX_IN_FLIGHT=10")
	for i := range 40 {
		w.submit(fmt.Sprint("t", i), running(300*time.Millisecond))
	}
	by := map[string]int{}
	for _, ev := range w.waitEvents(40) {
		by[ev.Worker]++
	}
	if by["w1"] < 5 || by["w2"] < 5 {
		t.Errorf("got tasks by worker %v, want both to have a fair part", by)
	}
	if twice := w.api.StartedTwice(); len(twice) > 0 {
		t.Errorf("started twice: %v", twice)
	}
}

func TestADrainHandsOverAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const wait = "ACK_WAIT=1m" // only a handover brings the tasks to the other in time
	first := w.startReady("w1", wait)
	for i := range 20 {
		w.submit(fmt.Sprint("t", i), blocked)
	}
	for i := range 20 {
		w.waitState(fmt.Sprint("t", i), task.Running)
	}
	w.startReady("w2", wait)
	began := time.Now()
	first.drain()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the drain took %v, want no waiting for workflows", took)
	}
	w.api.ReleaseAll()
	for _, ev := range w.waitEvents(20) {
		if ev.Status != task.Succeeded || ev.Worker != "w2" {
			t.Errorf("got %+v", ev.Event)
		}
	}
	if twice := w.api.StartedTwice(); len(twice) > 0 {
		t.Errorf("started twice: %v", twice)
	}
}

func TestAnInvalidRequestIsADeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.publish(`{"prompt":"x","url":"https://example.com","secret_values":{"PIN":"hunter2"},"promt":1}`)
	w.publish(`{broken`)
	w.publish(`{"task_id":"good","prompt":"x","url":"https://example.com","max_steps":0}`)
	w.submit("fine", done)
	byID := map[string]stored{}
	for _, ev := range w.waitEvents(4) {
		byID[ev.TaskID] = ev
	}
	for id, says := range map[string]string{"TASKS-1": "promt", "TASKS-2": "JSON", "good": "max_steps"} {
		ev := byID[id]
		if ev.code() != task.InvalidRequest || !strings.Contains(ev.Error.Message, says) {
			t.Errorf("%s: got %+v, want invalid_request that names %s", id, ev.Error, says)
		}
	}
	if byID["fine"].Status != task.Succeeded {
		t.Errorf("the valid request: got %+v", byID["fine"])
	}
	w.waitQuiet()
	letters := w.bodies("TASK_DEAD")
	all := strings.Join(letters, "\n")
	if len(letters) != 3 || !slices.Contains(letters, `{broken`) || strings.Contains(all, "hunter2") || !strings.Contains(all, "[redacted:PIN]") {
		t.Errorf("got dead letters %q", letters)
	}
}

// An invalid request is answered under its task id. Corrected and published again within the duplicate window of the
// results stream, it must have an event too.
func TestACorrectedRequestHasItsEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.publish(`{"task_id":"a","prompt":"","url":"https://example.com"}`)
	w.waitEvents(1)
	w.submit("a", done)
	events := w.waitEvents(2)
	if events[0].code() != task.InvalidRequest || events[1].Status != task.Succeeded {
		t.Errorf("got %+v", events)
	}
}

func TestACopyIsServedByTheOneRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.startReady("w2")
	for range 5 {
		w.submit("a", blocked)
	}
	natstest.Eventually(t, func() error { // the copies have been acknowledged
		if n := len(w.bodies("TASKS")); n != 1 {
			return fmt.Errorf("got %d requests, want only the one that runs", n)
		}
		return nil
	})
	w.release("a")
	w.waitEvents(1)
	w.waitQuiet()
	if events, log := w.events(), w.seen("a", blocked); len(events) != 1 || log.Accepted != 1 {
		t.Errorf("got %d events, %d runs, want one of each", len(events), log.Accepted)
	}
}

func TestACopyOfAFinishedTaskGetsTheStoredEventAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.submit("a", done)
	w.waitEvents(1)
	w.waitQuiet()
	w.submit("a", done)
	events := w.waitEvents(2)
	if got := events[1]; got.header.Get("Capstan-Replay") != "true" || !strings.HasPrefix(got.header.Get("Nats-Msg-Id"), "a/2/") ||
		got.WorkflowID != events[0].WorkflowID {
		t.Errorf("got %+v, %v, want the first event", got.Event, got.header)
	}
	if n := w.seen("a", done).Accepted; n != 1 {
		t.Errorf("got %d runs, want 1", n)
	}
}

func TestOtherContentUnderAUsedTaskIDIsADuplicate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.submit("a", blocked)
	w.waitState("a", task.Running)
	w.submit("a", done, `"metadata":{"n":2}`)
	w.waitEvents(1)
	w.release("a")
	events := w.waitEvents(2)
	duplicate, first := events[0], events[1]
	if duplicate.code() != task.DuplicateTask || !strings.HasPrefix(duplicate.header.Get("Nats-Msg-Id"), "a/2/") || string(duplicate.Metadata) != `{"n":2}` {
		t.Errorf("got %+v, %v, want duplicate_task", duplicate.Event, duplicate.header)
	}
	if first.Status != task.Succeeded {
		t.Errorf("got %+v, want the first run undisturbed", first.Event)
	}
	if n := w.seen("a", done).Posts; n != 0 {
		t.Errorf("got %d POSTs of the other content, want none", n)
	}
}

func TestAWorkerStartsBeforeNATSAndSurvivesItsOutages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.nats.Stop()
	p := w.start("w1")
	natstest.Eventually(t, func() error { return p.logged("cannot connect to NATS") })
	p.notReady("nats: RECONNECTING")
	w.nats.Restart()
	natstest.Eventually(t, func() error { return p.logged("worker is ready") })
	for i := range 5 {
		id := fmt.Sprint("t", i)
		w.submit(id, blocked)
		w.waitState(id, task.Running)
		w.nats.Stop()
		w.release(id) // the workflow ends while NATS is down
		pause(t, time.Duration(i)*100*time.Millisecond)
		w.nats.Restart()
	}
	for _, ev := range w.waitEvents(5) {
		if ev.Status != task.Succeeded {
			t.Errorf("got %+v", ev.Event)
		}
	}
	w.waitQuiet()
	if twice := w.api.StartedTwice(); len(twice) > 0 {
		t.Errorf("started twice: %v", twice)
	}
	p.drain()
}

// A server for development may lose its streams in a restart, and an operator may delete one.
func TestAWorkerRecreatesItsStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	for _, stream := range []string{"TASK_RESULTS", "KV_task_tracker", "TASKS"} {
		if err := w.js.DeleteStream(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
	}
	natstest.Eventually(t, func() error {
		for _, stream := range []string{"TASKS", "TASK_RESULTS", "KV_task_tracker"} {
			if _, err := w.js.Stream(t.Context(), stream); err != nil {
				return fmt.Errorf("stream %s: %w", stream, err)
			}
		}
		return nil
	})
	w.submit("a", done)
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded {
		t.Errorf("got %+v", ev.Event)
	}
}

func TestATraceAndAMessageIDGoFromRequestToEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.publish(`{"prompt":"x","url":"https://example.com"}`, "Nats-Msg-Id", "ord-1", "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	ev := w.waitEvents(1)[0]
	if ev.TaskID != "ord-1" || ev.header.Get("traceparent") != "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" {
		t.Errorf("got task %s with headers %v", ev.TaskID, ev.header)
	}
}

func TestAnEventWaitsWhileNATSIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.submit("a", blocked)
	w.waitState("a", task.Running)
	w.nats.Stop()
	w.release("a")
	pause(t, 2*time.Second) // the worker finds out that the workflow has ended
	w.nats.Restart()
	if ev := w.waitEvents(1)[0]; ev.Status != task.Succeeded {
		t.Errorf("got %+v", ev.Event)
	}
	w.waitQuiet()
}
