package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// A worker dies at each step, before the step happens or just after, and another gets the request. Then a third gets
// it, because the second's acknowledgement is lost.
func TestWhereverAWorkerDiesTheTaskEndsOnceWithOneEvent(t *testing.T) {
	t.Parallel()
	const unknown = task.SubmissionUnknown
	unavailable, badRequest := anchortest.Unavailable(1), anchortest.Fault{Status: 400}
	for _, c := range []struct {
		step      string
		happened  bool
		first     anchortest.Fault // of the first submission
		resubmit  bool
		code      task.Code // of the event
		workflows int
		then      *death // of the next worker
	}{
		{step: "create", code: success, workflows: 1}, // nothing is known of the task yet: it runs
		{step: "create", happened: true, code: unknown},
		{step: "create", happened: true, resubmit: true, code: success, workflows: 1},
		{step: "submit", code: unknown},
		{step: "submit", happened: true, code: unknown, workflows: 1},
		{step: "submit", happened: true, resubmit: true, code: success, workflows: 2},
		{step: "save running", code: unknown, workflows: 1},
		{step: "save running", resubmit: true, code: success, workflows: 2},
		{step: "save running", happened: true, code: success, workflows: 1},
		{step: "status", code: success, workflows: 1},
		{step: "status", happened: true, code: success, workflows: 1},
		{step: "publish", code: success, workflows: 1},
		{step: "publish", happened: true, code: success, workflows: 1},
		{step: "save succeeded", code: success, workflows: 1},
		{step: "save succeeded", happened: true, code: success, workflows: 1},
		{step: "save waiting", first: unavailable, code: unknown},
		{step: "save waiting", happened: true, first: unavailable, code: success, workflows: 1},
		{step: "save submitting", first: unavailable, code: success, workflows: 1},
		{step: "save submitting", happened: true, first: unavailable, code: unknown},
		{step: "save failed", first: badRequest, code: task.Rejected},
		{step: "save failed", happened: true, first: badRequest, code: task.Rejected},
		{step: "submit", happened: true, resubmit: true, code: unknown, workflows: 2, then: &death{step: "submit", happened: true}},
		{step: "submit", happened: true, resubmit: true, code: success, workflows: 2, then: &death{step: "save waiting", happened: true}},
		{step: "submit", happened: true, resubmit: true, code: success, workflows: 2, then: &death{step: "save waiting"}},
		{step: "save running", happened: true, code: success, workflows: 1, then: &death{step: "save running"}},
		{step: "save running", happened: true, code: success, workflows: 1, then: &death{step: "save running", happened: true}},
		{step: "publish", code: success, workflows: 1, then: &death{step: "publish", happened: true}},
		{step: "publish", happened: true, code: success, workflows: 1, then: &death{step: "find"}},
		{step: "publish", happened: true, code: success, workflows: 1, then: &death{step: "find", happened: true}},
	} {
		name := fmt.Sprintf("%s, happened %v, resubmit %v", c.step, c.happened, c.resubmit)
		if c.then != nil {
			name += fmt.Sprintf(", then %s, happened %v", c.then.step, c.then.happened)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			plan := anchortest.Plan{Run: 30 * time.Millisecond}
			if c.first.Status != 0 {
				plan.Submit = []anchortest.Fault{c.first}
			}
			more := ""
			if c.resubmit {
				more = `,"on_unknown_submission":"resubmit"`
			}
			deliver := w.request(w.planned(plan, more))
			w.die("w1", &death{step: c.step, happened: c.happened}, deliver(1))
			if c.then != nil {
				w.die("w2", c.then, deliver(2))
			}
			w.finish("last", deliver(3))
			w.finish("last", deliver(4))
			w.wantOneEvent(c.code, c.workflows)
		})
	}
}

func TestWhereverAWorkerDiesABrokenRequestIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"dead-letter", "publish"} {
		for _, happened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, happened %v", step, happened), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				deliver := w.request(`{"task_id":"a"}`)
				w.die("w1", &death{step: step, happened: happened}, deliver(1))
				w.finish("w2", deliver(2))
				w.finish("w2", deliver(3))
				w.wantOneEvent(task.InvalidRequest, 0)
				if got := w.stream(w.dead.Stream).CachedInfo().State.Msgs; got != 1 {
					t.Errorf("got %d dead letters, want 1", got)
				}
			})
		}
	}
}

func TestWhereverAWorkerDiesARepeatedRequestIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	for step, repeated := range map[string]string{
		"publish per request": body(`,"max_steps":3`), // other content: duplicate_task
		"replay":              body(""),
	} {
		for _, happened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, happened %v", step, happened), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.finish("w1", w.request(body(""))(1))
				deliver := w.request(repeated)
				w.die("w1", &death{step: step, happened: happened}, deliver(1))
				w.finish("w2", deliver(2))
				w.finish("w2", deliver(3))
				if events := w.events(); len(events) != 2 || w.api.Totals().Accepted != 1 {
					t.Errorf("got %d events and %d runs, want two and one", len(events), w.api.Totals().Accepted)
				}
			})
		}
	}
}

// A panic ends one delivery and releases the submission slot, so that the worker continues with all its slots.
func TestAPanicReleasesItsSlot(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"create", "submit", "save running", "status", "publish", "save succeeded"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			const panics = 5 // there are fewer slots
			w := newWorld(t)
			var left atomic.Int32
			left.Store(panics)
			p := w.worker("w1", stepFunc(func(at string, act func() error) error {
				if at == step && left.Add(-1) >= 0 {
					panic("as the test asked")
				}
				return act()
			}))
			for i := range panics {
				other := fmt.Sprintf(`{"task_id":"p%d","prompt":"a","url":"https://example.com"}`, i)
				if err := handle(t.Context(), p, w.request(other)(1)); !errors.Is(err, errPanicked) {
					t.Errorf("got %v, want the panic", err)
				}
			}
			if err := handle(t.Context(), p, w.request(body(""))(1)); err != nil {
				t.Fatal(err)
			}
			if events := w.events(); events[len(events)-1].TaskID != "a" {
				t.Errorf("got %+v, want the event of the last task", events)
			}
		})
	}
}

// A shutdown does not interrupt a submission: the workflow's id is recorded, and the next worker resumes.
func TestAShutdownDoesNotInterruptASubmission(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"submit", "save running"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			deliver := w.request(body(""))
			ctx, drain := context.WithCancel(t.Context())
			draining := stepFunc(func(at string, act func() error) error {
				if at == step {
					drain()
				}
				return act()
			})
			if err := handle(ctx, w.worker("w1", draining), deliver(1)); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
			if rec, err := w.records().Get(t.Context(), "a"); err != nil || rec.State != task.Running {
				t.Errorf("got %+v, %v, want a running task", rec, err)
			}
			w.finish("w2", deliver(2))
			w.wantOneEvent(success, 1)
		})
	}
}
