package app_test

import (
	"testing"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestAClientReturnsTheEventOfItsTask(t *testing.T) {
	withEachClient(t, func(t trial) {
		w := newWorld(t.T)
		w.startReady("w1")
		w.submit("others", blocked)
		w.submit("others-too", done)
		got := t.run(t.Context(), w.nats.URL(), w.requestOf("ord-1", done, `"metadata":{"order":1}`, `"batch":"night"`, `"timeout":"10m"`))
		got.succeeded(t.T, "ord-1", `{"heading":"Hello"}`)
		if ev := got.Event; string(ev.Metadata) != `{"order":1}` || ev.Batch != "night" || ev.WorkflowStatus != "COMPLETED" || ev.Attempts != 1 {
			t.Errorf("got %+v, want the whole event", ev)
		}
		got = t.run(t.Context(), w.nats.URL(), w.requestOf("ord-2", anchortest.Plan{State: "FAILED", Error: "no"}))
		got.failed(t.T, task.WorkflowFailed)
	})
}

// The digests of both requests must be equal, whatever the content, or the second waits for ever.
func TestAClientWaitsForATaskThatRunsAlready(t *testing.T) {
	const odd = `"output_schema":{"type":"string","x-\ue000":[1.5,-0.25,1e21,true,null],"x-\ud83d\ude80":{"b":"<a&b>\u2028\u0001\u007f\"\\/","a":{}}},` +
		`"extended_system_message":"caf\u00e9 \ufffd \u2029","secret_values":{"PIN":"4711"}`
	withEachClient(t, func(t trial) {
		w := newWorld(t.T)
		w.startReady("w1")
		w.submit("ord-1", done, `"max_steps":-1`) // its refusal takes the message id of the event
		w.waitEvents(1)
		first := w.begin(t.Context(), t.run, w.requestOf("ord-1", blocked, odd, `"metadata":{"copy":1}`))
		w.waitAccepted("ord-1", blocked)
		second := w.begin(t.Context(), t.run, w.requestOf("ord-1", blocked, odd, `"metadata":{"copy":2}`))
		w.waitRequests(3, 1) // the second is answered by the task of the first
		w.release("ord-1")
		(<-first).succeeded(t.T, "ord-1", `"ok"`)
		(<-second).succeeded(t.T, "ord-1", `"ok"`)
		if n := w.seen("ord-1", blocked).Accepted; n != 1 {
			t.Errorf("got %d workflows, want one", n)
		}
	})
}

func TestAClientGetsTheEventOfATaskThatHasEnded(t *testing.T) {
	withEachClient(t, func(t trial) {
		w := newWorld(t.T)
		w.startReady("w1")
		first := t.run(t.Context(), w.nats.URL(), w.requestOf("ord-1", done))
		first.succeeded(t.T, "ord-1", `{"heading":"Hello"}`)
		again := t.run(t.Context(), w.nats.URL(), w.requestOf("ord-1", done))
		again.succeeded(t.T, "ord-1", `{"heading":"Hello"}`)
		if again.Event.WorkflowID != first.Event.WorkflowID {
			t.Errorf("got workflow %s, want %s: the task ran twice", again.Event.WorkflowID, first.Event.WorkflowID)
		}
		for range 1200 { // after so many events only a worker's answer tells
			if _, err := w.js.PublishAsync("tasks.result", []byte(`{"task_id":"other","status":"succeeded"}`)); err != nil {
				t.Fatal(err)
			}
		}
		<-w.js.PublishAsyncComplete()
		t.run(t.Context(), w.nats.URL(), w.requestOf("ord-1", done)).succeeded(t.T, "ord-1", `{"heading":"Hello"}`)
	})
}

// While all workers are busy with the other request, its event comes first.
func TestAClientIsNotMisledByAnotherRequestWithItsTaskID(t *testing.T) {
	withEachClient(t, func(t trial) {
		w := newWorld(t.T)
		w.startReady("w1", "MAX_IN_FLIGHT_TOTAL=1")
		w.submit("ord-1", blocked)
		w.waitAccepted("ord-1", blocked)
		got := w.begin(t.Context(), t.run, w.requestOf("ord-1", done))
		w.waitRequests(2, 2)
		w.waitFollowed(1)
		w.release("ord-1")
		(<-got).failed(t.T, task.DuplicateTask)
	})
}

func TestAClientGetsTheRefusalOfItsRequestOnly(t *testing.T) {
	withEachClient(t, func(t trial) {
		w := newWorld(t.T)
		w.startReady("w1")
		t.run(t.Context(), w.nats.URL(), w.requestOf("ord-1", done, `"max_steps":-1`)).failed(t.T, task.InvalidRequest)
		t.run(t.Context(), w.nats.URL(), w.requestOf("ord-1", done)).succeeded(t.T, "ord-1", `{"heading":"Hello"}`)
		t.run(t.Context(), w.nats.URL(), w.requestOf("TASKS-17", done)).failed(t.T, task.InvalidRequest) // its event has another id
	})
}

func TestAClientReadsALargeResult(t *testing.T) {
	withEachClient(t, func(t trial) {
		w := newWorld(t.T)
		w.startReady("w1", "ANCHORBROWSER_REQUEST_TIMEOUT=30s", "DRAIN_TIMEOUT=40s") // the bodies are large
		room := 1<<20 - 200 - len(w.requestOf("large", filled(0)))                   // the event has more about it than the request
		got := t.run(t.Context(), w.nats.URL(), w.requestOf("large", filled(room)))
		got.succeeded(t.T, "large", string(filled(room).Result))
		if got.Event.ResultRef == nil {
			t.Error("got a result in the event, want one that does not fit")
		}
	})
}
