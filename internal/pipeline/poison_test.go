package pipeline_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// poisonedAfter is how many deliveries of a request may end without a step forward.
const poisonedAfter = 10

// A request that kills each worker before its task comes a step forward is answered once, after ten deliveries, and
// becomes a dead letter.
func TestARequestThatKillsWorkersIsPoisoned(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dies      string // the step at which each worker dies
		begun     bool   // another worker has begun the task before
		workflows int
	}{
		"before it has a record":     {dies: "create"},
		"while its answer is judged": {dies: "publish", begun: true, workflows: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			deliver := w.request(body(""))
			n := uint64(1)
			if c.begun {
				w.die("w0", &death{step: "status"}, deliver(n))
				n++
			}
			for ; n <= poisonedAfter; n++ {
				w.die("w1", &death{step: c.dies}, deliver(n))
				if events := w.events(); len(events) > 0 {
					t.Fatalf("got %+v after %d deliveries, want none", events, n)
				}
			}
			w.finish("w2", deliver(n))
			w.finish("w2", deliver(n+1))
			ev := w.wantOneEvent(task.Poisoned, c.workflows)
			if ev.TaskID != "a" || ev.Error.Retryable {
				t.Errorf("got %+v, want a final failure under the task's id", ev)
			}
			if got := w.stream(w.dead.Stream).CachedInfo().State.Msgs; got != 1 {
				t.Errorf("got %d dead letters, want 1", got)
			}
		})
	}
}

// A request that kills each worker that reads it has no known id, and may hold secrets.
func TestAPoisonedRequestIsNotRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		kept int // bytes of the dead letter
	}{
		"plain":                      {`{"prompt":"p"`, 13},
		"with secrets":               {`{"prompt":"p","secret_values":{"PIN":"1"}`, 0},
		"with hidden secrets":        {`{"prompt":"p","\u0073ecret_values":{"PIN":"1"}`, 0},
		"with secrets by other name": {`{"prompt":"p","Secrets":["1"]`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := w.request(c.body)(poisonedAfter + 1)
			count := task.DeliveryCount{Stream: d.Stream, Seq: d.Seq, Stored: d.Stored, Count: poisonedAfter}
			if err := w.records().SaveDeliveries(t.Context(), count); err != nil {
				t.Fatal(err)
			}
			w.finish("w1", d)
			if ev := w.wantOneEvent(task.Poisoned, 0); ev.TaskID != "TASKS-1" {
				t.Errorf("got an event of task %s, want it under the default id", ev.TaskID)
			}
			letter, err := w.stream(w.dead.Stream).GetMsg(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(letter.Data) != c.kept {
				t.Errorf("got a dead letter of %q, want %d bytes", letter.Data, c.kept)
			}
		})
	}
}

// A copy of a running task's request is poisoned. The running task's workflow and record are not its own.
func TestAPoisonedCopyLeavesTheRunningTaskAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := newStall("status")
	verdict := w.start(slow, w.request(body(""))(1))
	d := w.request(body(""))(poisonedAfter + 1)
	count := task.DeliveryCount{Stream: d.Stream, Seq: d.Seq, Stored: d.Stored, Count: poisonedAfter, TaskID: "a"}
	if err := w.records().SaveDeliveries(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	w.finish("w2", d)
	if ev := w.wantOneEvent(task.Poisoned, 1); ev.WorkflowID != "" || ev.Attempts != 0 {
		t.Errorf("got %+v, want an event without the other task's workflow", ev)
	}
	close(slow.resume)
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	if events := w.events(); len(events) != 2 || events[1].Status != task.Succeeded {
		t.Errorf("got %+v, want the running task's success, too", events)
	}
}

// Deploys and outages are not the task's fault: a drain resets the count, and so does each step forward.
func TestWorkersThatStopForOtherReasonsDoNotPoisonTheRequest(t *testing.T) {
	t.Parallel()
	drains := func(cancel context.CancelFunc) steps {
		return stepFunc(func(step string, act func() error) error {
			if step == "status" {
				cancel()
			}
			return act()
		})
	}
	dies := func(cancel context.CancelFunc) steps { return &death{step: "status", survives: 1, died: cancel} }
	runs := anchortest.Plan{Run: time.Hour}
	notKnown := anchortest.Plan{Run: time.Hour, Poll: []anchortest.Fault{anchortest.NotYet().Repeated(4 * poisonedAfter)}}
	for name, c := range map[string]struct {
		plan     anchortest.Plan
		stopping func(context.CancelFunc) steps // what ends each delivery
	}{
		"drains while it runs":                  {runs, drains},
		"deaths while it runs":                  {runs, dies},
		"deaths while the API does not know it": {notKnown, dies},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			deliver := w.request(w.planned(c.plan, ""))
			for n := range uint64(2 * poisonedAfter) {
				ctx, cancel := context.WithCancel(t.Context())
				err := handle(ctx, w.worker("w1", c.stopping(cancel)), deliver(n+1))
				cancel()
				if err == nil {
					t.Fatalf("delivery %d ended the task: %+v", n+1, w.events())
				}
			}
			if events := w.events(); len(events) > 0 || w.api.Totals().Accepted != 1 {
				t.Errorf("got %+v of %d runs, want none of one", events, w.api.Totals().Accepted)
			}
		})
	}
}

// Workers are killed again and again while they wait for the owner of before, which died during the submission.
func TestWorkersThatDieWhileTheyWaitDoNotPoisonTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.postTimeout = time.Minute
	deliver := w.request(body(""))
	w.die("w0", &death{step: "submit"}, deliver(1))
	for n := range uint64(2 * poisonedAfter) {
		ctx, cancel := context.WithCancel(t.Context())
		var dead atomic.Bool
		kill := time.AfterFunc(100*time.Millisecond, func() {
			dead.Store(true)
			cancel()
		})
		mortal := stepFunc(func(_ string, act func() error) error {
			if dead.Load() {
				return errDied
			}
			return act()
		})
		if err := handle(ctx, w.worker("w1", mortal), deliver(n+2)); err == nil {
			t.Fatalf("delivery %d ended the task: %+v", n+2, w.events())
		}
		kill.Stop()
		cancel()
	}
	if count, err := w.records().Deliveries(t.Context(), deliver(1)); err != nil || count.Count >= poisonedAfter {
		t.Errorf("got %d deliveries counted, %v, want few", count.Count, err)
	}
}

// The count of a request of a stream that was recreated is not the new request's.
func TestACountOfAnOldRequestIsNotTheNewOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.request(body(""))(poisonedAfter)
	count := task.DeliveryCount{Stream: d.Stream, Seq: d.Seq, Stored: d.Stored.Add(-time.Hour), Count: poisonedAfter}
	if err := w.records().SaveDeliveries(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	w.finish("w1", d)
	w.wantOneEvent(success, 1)
}

// An ordinary task costs no count.
func TestOrdinaryTasksAreNotCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(body(""))
	w.die("w1", &death{step: "status"}, deliver(1))
	w.finish("w2", deliver(2))
	if got := w.stream(w.tracker.Stream()).CachedInfo().State.Msgs; got != 1 {
		t.Errorf("got %d keys in the bucket, want the record alone", got)
	}
}
