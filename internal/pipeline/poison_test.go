package pipeline_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// poisonedAfter is how many deliveries of a request may end without a step forward.
const poisonedAfter = 10

// A request that kills each worker before its task makes a step forward is answered in the end, once, and put aside.
func TestARequestThatKillsWorkersIsPoisoned(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dies  string // the step at which each worker dies
		begun bool   // another one has begun the task before
		posts int
	}{
		"before it has a record":     {dies: "create"},
		"while its answer is judged": {dies: "publish", begun: true, posts: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			deliver := w.request(fmt.Sprintf(request, ""))
			n := uint64(0)
			if c.begun {
				n++
				w.dieWhileItRuns(nil, deliver(n))
			}
			for ; n < poisonedAfter; n++ {
				if err := handle(t.Context(), w.worker("w1", &death{step: c.dies}), deliver(n+1)); err == nil {
					t.Fatalf("delivery %d did not kill its worker", n+1)
				}
				if events := w.events(); len(events) > 0 {
					t.Fatalf("got %+v after %d deliveries, want none", events, n+1)
				}
			}
			for range 2 {
				n++
				if err := handle(t.Context(), w.worker("w2", &death{step: c.dies + " of a healthy worker"}), deliver(n)); err != nil {
					t.Fatal(err)
				}
			}
			events, letters := w.events(), w.stream(w.dead.Stream).CachedInfo().State.Msgs
			if len(events) != 1 || letters != 1 || w.api.Totals().Accepted != c.posts {
				t.Fatalf("got %d events, %d dead letters and %d runs, want 1, 1 and %d", len(events), letters, w.api.Totals().Accepted, c.posts)
			}
			if ev := events[0]; ev.TaskID != "a" || ev.Error == nil || ev.Error.Code != task.Poisoned || ev.Error.Retryable {
				t.Errorf("got %+v, want poisoned under the task's id", ev)
			}
		})
	}
}

// One that kills whoever reads it cannot be asked for its id, and may hold secrets.
func TestAPoisonedRequestIsNotRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		kept int // bytes of the dead letter
	}{
		"plain":                {`{"prompt":"p"`, 13},
		"with secrets":         {`{"prompt":"p","secret_values":{"PIN":"1"}`, 0},
		"with hidden secrets":  {`{"prompt":"p","\u0073ecret_values":{"PIN":"1"}`, 0},
		"with a kind of those": {`{"prompt":"p","Secrets":["1"]`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := w.request(c.body)(poisonedAfter + 1)
			count := task.DeliveryCount{Stream: m.Stream, Seq: m.Seq, Stored: m.Stored, Count: poisonedAfter}
			if err := w.records().SaveDeliveries(t.Context(), count); err != nil {
				t.Fatal(err)
			}
			if err := handle(t.Context(), w.worker("w1", healthy{}), m); err != nil {
				t.Fatal(err)
			}
			events := w.events()
			if len(events) != 1 || events[0].TaskID != "TASKS-1" || events[0].Error.Code != task.Poisoned {
				t.Fatalf("got %+v, want poisoned under the default id", events)
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

// Deploys and outages are not the task's fault: a drain resets the count, and so does each step forward.
func TestWorkersThatStopForOtherReasonsAreNotBlamedOnTheTask(t *testing.T) {
	t.Parallel()
	runs := anchortest.Plan{Run: time.Hour}
	unknown := anchortest.Plan{Run: time.Hour, Poll: []anchortest.Fault{anchortest.NotYet().Repeated(4 * poisonedAfter)}}
	drains := func(cancel context.CancelFunc) steps { return drainAt{"status", cancel} }
	dies := func(cancel context.CancelFunc) steps { return &secondDeath{death{step: "status", died: cancel}, 2} }
	for name, c := range map[string]struct {
		plan anchortest.Plan
		stop func(context.CancelFunc) steps // what ends each delivery
	}{
		"drains while it runs":                  {runs, drains},
		"deaths while it runs":                  {runs, dies},
		"deaths while the API does not know it": {unknown, dies},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			deliver := w.request(fmt.Sprintf(`{"task_id":"a","prompt":%s,"url":"https://example.com"}`, w.prompt("a", c.plan)))
			for n := range uint64(2 * poisonedAfter) {
				ctx, cancel := context.WithCancel(t.Context())
				err := handle(ctx, w.worker("w1", c.stop(cancel)), deliver(n+1))
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

// drainAt is a worker that is told to stop when it comes to a step.
type drainAt struct {
	step  string
	drain context.CancelFunc
}

func (d drainAt) do(step string, act func() error) error {
	if step == d.step {
		d.drain()
	}
	return act()
}

// secondDeath dies when it comes to its step once more.
type secondDeath struct {
	death
	left int
}

func (s *secondDeath) do(step string, act func() error) error {
	if step == s.step {
		s.mu.Lock()
		s.left--
		lives := s.left > 0
		s.mu.Unlock()
		if lives {
			return act()
		}
	}
	return s.death.do(step, act)
}

// A count of a request of a stream that was recreated is not the new request's.
func TestACountOfAnOldRequestIsNotTheNewOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.request(fmt.Sprintf(request, ""))(poisonedAfter)
	count := task.DeliveryCount{Stream: m.Stream, Seq: m.Seq, Stored: m.Stored.Add(-time.Hour), Count: poisonedAfter}
	if err := w.records().SaveDeliveries(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	if err := handle(t.Context(), w.worker("w1", healthy{}), m); err != nil {
		t.Fatal(err)
	}
	if events := w.events(); len(events) != 1 || events[0].Error != nil {
		t.Errorf("got %+v, want one success", events)
	}
}

// An ordinary task has no count.
func TestOrdinaryTasksAreNotCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(fmt.Sprintf(request, ""))
	w.dieWhileItRuns(nil, deliver(1))
	if err := handle(t.Context(), w.worker("w1", healthy{}), deliver(2)); err != nil {
		t.Fatal(err)
	}
	if got := w.stream(w.tracker.Stream()).CachedInfo().State.Msgs; got != 1 {
		t.Errorf("got %d keys in the bucket, want the record alone", got)
	}
}
