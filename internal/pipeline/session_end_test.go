package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// drain lets a worker handle a delivery until it is told to stop, shortly after a step has begun. It must stop at once.
func (w *world) drain(name, step string, d task.Delivery) {
	w.t.Helper()
	ctx, drain := context.WithCancel(w.t.Context())
	defer drain()
	var drained time.Time
	worker := before(step, sync.OnceFunc(func() {
		time.AfterFunc(20*time.Millisecond, func() { drained = time.Now(); drain() })
	}))
	if err := handle(ctx, w.worker(name, worker), d); !errors.Is(err, context.Canceled) {
		w.t.Fatalf("got %v, want the context's error", err)
	}
	if took := time.Since(drained); took > sessionWaits.End/2 {
		w.t.Errorf("got a drain of %v", took)
	}
}

// A drain interrupts each call about sessions, though the API does not answer. Nothing is lost by it.
func TestAShutdownInterruptsTheCallsAboutSessions(t *testing.T) {
	t.Parallel()
	hang := []anchortest.Fault{anchortest.Hang().ButAccepted()}
	for step, c := range map[string]struct {
		plan     anchortest.SessionPlan
		dies     string // the step at which a worker died before
		sessions int
	}{
		"create session": {plan: anchortest.SessionPlan{Create: hang}, sessions: 2},
		"end session":    {plan: anchortest.SessionPlan{End: hang}, sessions: 1},
		"look":           {plan: anchortest.SessionPlan{Get: hang}, sessions: 1},
		"list sessions":  {plan: anchortest.SessionPlan{List: hang}, dies: "create session", sessions: 1},
	} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t, planSessions(c.plan))
			deliver := w.request(body(""))
			if c.dies != "" {
				w.die("w0", &death{step: c.dies}, deliver(1))
			}
			w.drain("w1", step, deliver(2))
			w.finish("w2", deliver(3))
			w.wantEnded(w.wantOneEvent(success, 1))
			w.wantSessions(c.sessions)
		})
	}
}

func TestTimeoutAndCancelEndTheBrowser(t *testing.T) {
	t.Parallel()
	failing := anchortest.SessionPlan{End: []anchortest.Fault{anchortest.Answer(500).Repeated(-1)}}
	lost := anchortest.SessionPlan{End: []anchortest.Fault{anchortest.Reset().ButAccepted()}}
	const ended = "its browser session was ended, and the agent had taken "
	const open = "its browser session could not be ended and ends by itself: 500: Internal Server Error"
	for name, c := range map[string]struct {
		plan    anchortest.SessionPlan
		timeout bool
		want    string // begins the message
		ended   bool
	}{
		"timeout":                   {timeout: true, want: "did not finish within 100ms; " + ended, ended: true},
		"timeout, lost answer":      {plan: lost, timeout: true, want: "did not finish within 100ms; " + ended, ended: true},
		"timeout, not confirmed":    {plan: failing, timeout: true, want: "did not finish within 100ms; " + open},
		"canceled":                  {want: "canceled: wrong customer; " + ended, ended: true},
		"canceled, not confirmed":   {plan: failing, want: "canceled: wrong customer; " + open},
		"canceled, ended by itself": {plan: anchortest.SessionPlan{End: []anchortest.Fault{anchortest.Answer(401).ButAccepted()}}, want: "canceled: wrong customer; " + ended, ended: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t, planSessions(c.plan))
			m := newMarks()
			w.steering = m
			more := ""
			worker := steps(before("status", func() { m.cancel("a", "wrong customer") }))
			if c.timeout {
				worker, more = healthy{}, `,"timeout":"100ms"`
			}
			if err := handle(t.Context(), w.worker("w1", worker), w.request(w.planned(anchortest.Plan{Run: time.Hour}, more))(1)); err != nil {
				t.Fatal(err)
			}
			ev := w.wantOneEvent(map[bool]task.Code{true: task.Timeout, false: task.Canceled}[c.timeout], 1)
			if !strings.HasPrefix(ev.Error.Message, c.want) || ev.SessionEnded == nil || *ev.SessionEnded != c.ended || ev.SessionID == "" {
				t.Errorf("got %q, ended %v, want %q", ev.Error.Message, ev.SessionEnded, c.want)
			}
			if running := w.api.Totals().Running; (running == 0) != c.ended {
				t.Errorf("got %d running workflows", running)
			}
		})
	}
}

// A task that is canceled before its POST has no workflow, and may have a session.
func TestACancellationBeforeThePOSTLeavesNoSession(t *testing.T) {
	t.Parallel()
	unavailable := []anchortest.Fault{anchortest.Unavailable(3600).Repeated(-1)}
	for name, c := range map[string]struct {
		step     string // after which it is canceled
		submit   []anchortest.Fault
		sessions int
	}{
		"while it waits for its first slot":    {step: "create"},
		"while the session is created":         {step: "create session", sessions: 1},
		"right before the POST":                {step: "save submitting", sessions: 1},
		"after a submission that was put off":  {step: "submit", submit: unavailable, sessions: 1},
		"while it waits after that submission": {step: "save waiting", submit: unavailable, sessions: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t)
			m := newMarks()
			w.steering = m
			request := w.planned(anchortest.Plan{Run: time.Hour, Submit: c.submit}, "")
			if err := handle(t.Context(), w.worker("w1", cancelsAfter{healthy{}, m, c.step}), w.request(request)(1)); err != nil {
				t.Fatal(err)
			}
			if ev := w.wantOneEvent(task.Canceled, 0); c.sessions > 0 {
				w.wantEnded(ev)
			}
			w.wantSessions(c.sessions)
		})
	}
}
