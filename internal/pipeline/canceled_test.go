package pipeline_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// marks are what operators have canceled.
type marks struct {
	mu      sync.Mutex
	by      map[string]task.Cancellation // by the task's id, or by "batch/" and the batch
	waiting map[string]map[context.Context]context.CancelCauseFunc
}

func newMarks() *marks {
	return &marks{by: map[string]task.Cancellation{}, waiting: map[string]map[context.Context]context.CancelCauseFunc{}}
}

func (m *marks) cancel(key, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.by[key] = task.Cancellation{Reason: reason}
	for _, end := range m.waiting[key] {
		end(task.ErrCanceled)
	}
}

func (m *marks) Canceled(_ context.Context, taskID, batch string) (task.Cancellation, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.by[taskID]; ok {
		return c, true
	}
	c, ok := m.by["batch/"+batch]
	return c, ok
}

func (m *marks) Until(ctx context.Context, taskID, batch string) (context.Context, context.CancelCauseFunc) {
	ctx, end := context.WithCancelCause(ctx)
	if _, canceled := m.Canceled(ctx, taskID, batch); canceled {
		end(task.ErrCanceled)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, key := range []string{taskID, "batch/" + batch} {
		if m.waiting[key] == nil {
			m.waiting[key] = map[context.Context]context.CancelCauseFunc{}
		}
		m.waiting[key][ctx] = end
	}
	return ctx, end
}

// A task that is canceled before its submission is never submitted, whichever way it was marked, and gets its one event.
func TestACanceledTaskIsNeverSubmitted(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"by its id": "a", "by its batch": "batch/night"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := newMarks()
			w.steering = m
			m.cancel(key, "wrong customer")
			deliver := w.request(body(`,"batch":"night"`))
			w.finish("w1", deliver(1))
			w.finish("w2", deliver(2))
			ev := w.wantOneEvent(task.Canceled, 0)
			if want := "canceled: wrong customer; it was not submitted"; ev.Error.Message != want || ev.Attempts != 0 || ev.Batch != "night" {
				t.Errorf("got %q after %d attempts in batch %q, want %q", ev.Error.Message, ev.Attempts, ev.Batch, want)
			}
		})
	}
}

func TestATaskIsCanceledWhileItWaitsToBeSubmitted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step string          // before which it is canceled
		plan anchortest.Plan // of the task
		want int             // POSTs that were accepted
	}{
		"before its record":                  {"create", anchortest.Plan{}, 0},
		"before it says submitting, again":   {"save submitting", anchortest.Plan{Submit: []anchortest.Fault{anchortest.Unavailable(1)}}, 0},
		"after a submission that was denied": {"save waiting", anchortest.Plan{Submit: []anchortest.Fault{anchortest.Unavailable(1)}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := newMarks()
			w.steering = m
			s := newStall(c.step)
			verdict := w.start(s, w.request(w.planned(c.plan, ""))(1))
			m.cancel("a", "")
			close(s.resume)
			if err := <-verdict; err != nil {
				t.Fatal(err)
			}
			w.wantOneEvent(task.Canceled, c.want)
		})
	}
}

// A task in a pause is canceled at once.
func TestATaskIsCanceledInAPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := newMarks()
	w.steering = m
	s := newStall("save waiting")
	s.after = true
	plan := anchortest.Plan{Submit: []anchortest.Fault{anchortest.Unavailable(3600).Repeated(-1)}}
	verdict := w.start(s, w.request(w.planned(plan, ""))(1))
	close(s.resume)
	m.cancel("a", "")
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	w.wantOneEvent(task.Canceled, 0)
}

// A cancellation during the POST waits for its answer: the event names the workflow.
func TestARunningTaskEndsAtOnceAndSaysThatItsWorkflowMayRunOn(t *testing.T) {
	t.Parallel()
	for step, after := range map[string]bool{"submit": false, "save running": true, "status": true} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := newMarks()
			w.steering = m
			s := newStall(step)
			s.after = after
			verdict := w.start(s, w.request(w.planned(anchortest.Plan{Run: time.Hour}, ""))(1))
			m.cancel("a", "wrong customer")
			close(s.resume)
			if err := <-verdict; err != nil {
				t.Fatal(err)
			}
			ev := w.wantOneEvent(task.Canceled, 1)
			if want := "canceled: wrong customer; its workflow may run on"; ev.Error.Message != want || ev.WorkflowID == "" {
				t.Errorf("got %q of workflow %q, want %q", ev.Error.Message, ev.WorkflowID, want)
			}
		})
	}
}

// A worker dies wherever it can while it ends a canceled task, and the mark stays.
func TestWhereverAWorkerDiesACanceledTaskHasOneEvent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step      string
		workflows int
	}{
		{"create", 0},
		{"publish", 0},
		{"dead-letter", 0},
		{"save failed", 0},
		{"running publish", 1},
		{"running dead-letter", 1},
		{"running save failed", 1},
	} {
		for _, happened := range []bool{false, true} {
			t.Run(c.step+map[bool]string{true: ", happened"}[happened], func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				m := newMarks()
				w.steering, w.keepFailed = m, true
				step, running := strings.CutPrefix(c.step, "running ")
				deliver := w.request(w.planned(anchortest.Plan{Run: time.Hour}, ""))
				if running {
					w.die("w1", &death{step: "save running", happened: true}, deliver(1))
				}
				m.cancel("a", "")
				w.die("w2", &death{step: step, happened: happened}, deliver(2))
				w.finish("w3", deliver(3))
				w.finish("w4", deliver(4))
				w.wantOneEvent(task.Canceled, c.workflows)
				if got := w.stream(w.dead.Stream).CachedInfo().State.Msgs; got != 1 {
					t.Errorf("got %d dead letters, want 1", got)
				}
			})
		}
	}
}

// Whether the API accepted the task is not known, so that it was canceled does not say that it did not run.
func TestACanceledTaskWithAnUnknownSubmissionSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := newMarks()
	w.steering = m
	deliver := w.request(body(`,"on_unknown_submission":"resubmit"`))
	w.die("w1", &death{step: "submit", happened: true}, deliver(1))
	m.cancel("a", "")
	w.finish("w2", deliver(2))
	w.wantOneEvent(task.SubmissionUnknown, 1)
}

func TestTheVerdictThatIsStoredFirstWins(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := newMarks()
	w.steering = m
	deliver := w.request(body(""))
	w.die("w1", &death{step: "save succeeded"}, deliver(1)) // its event is stored
	m.cancel("a", "")
	w.finish("w2", deliver(2))
	w.wantOneEvent(success, 1)
	if rec, err := w.records().Get(t.Context(), "a"); err != nil || rec.State != task.Succeeded {
		t.Errorf("got %+v, %v, want a record that says succeeded", rec, err)
	}
}

func TestAMarkForATaskThatHasEndedChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := newMarks()
	w.steering = m
	deliver := w.request(body(""))
	w.finish("w1", deliver(1))
	m.cancel("a", "")
	w.finish("w2", deliver(2))
	w.finish("w3", w.request(body(""))(1)) // a copy is answered with the same event
	events := w.events()
	if len(events) != 2 || events[0].Status != task.Succeeded || events[1].Status != task.Succeeded {
		t.Errorf("got %+v, want the event and its replay", events)
	}
}

// cancelsAfter is a worker whose task is canceled right after a step.
type cancelsAfter struct {
	steps
	marks *marks
	step  string
}

func (c cancelsAfter) do(step string, act func() error) error {
	err := c.steps.do(step, act)
	if step == c.step {
		c.marks.cancel("a", "")
	}
	return err
}

// The record announces the POST when the cancellation comes, and the POST is not sent. If the worker dies before it has
// written that, the next one cannot know.
func TestACancellationRightBeforeThePOSTIsHeeded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		worker steps
		code   task.Code
	}{
		"healthy":                      {healthy{}, task.Canceled},
		"died before it took it back":  {&death{step: "save waiting"}, task.SubmissionUnknown},
		"died after it took it back":   {&death{step: "save waiting", happened: true}, task.Canceled},
		"died before the event":        {&death{step: "publish"}, task.Canceled},
		"died after the event":         {&death{step: "publish", happened: true}, task.Canceled},
		"died before its record ended": {&death{step: "save failed"}, task.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			m := newMarks()
			w.steering = m
			deliver := w.request(body(""))
			_ = handle(t.Context(), w.worker("w1", cancelsAfter{c.worker, m, "create"}), deliver(1))
			w.finish("w2", deliver(2))
			w.finish("w3", deliver(3))
			if ev := w.wantOneEvent(c.code, 0); c.code == task.Canceled && ev.Attempts != 0 {
				t.Errorf("got %d attempts, want none: nothing was posted", ev.Attempts)
			}
		})
	}
}
