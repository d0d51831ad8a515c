package pipeline_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// The answer to a POST is lost, and the workflow runs.
func TestTheSessionDecidesAboutALostAnswer(t *testing.T) {
	t.Parallel()
	const unknown = task.SubmissionUnknown
	lost := anchortest.Reset().ButAccepted()
	failsToEnd := anchortest.SessionPlan{End: []anchortest.Fault{anchortest.Answer(500).Repeated(-1)}}
	late := func(thinks time.Duration) anchortest.SessionRules {
		return anchortest.SessionRules{FirstStep: thinks, FiguresDelay: 300 * time.Millisecond, FiguresNull: true}
	}
	for name, c := range map[string]struct {
		policy    task.OnUnknown
		rules     anchortest.SessionRules
		plan      anchortest.SessionPlan
		lost      int // answers
		code      task.Code
		workflows int
		message   string
		steps     int
	}{
		"fail":                          {policy: task.Fail, lost: 1, code: unknown, workflows: 1, message: "ended, and the agent had taken 1 step", steps: 1},
		"fail, no step":                 {policy: task.Fail, rules: late(time.Hour), lost: 1, code: unknown, workflows: 1, message: "the agent had taken no step in it"},
		"fence, no step":                {policy: task.Fence, rules: late(time.Hour), lost: 1, code: success, workflows: 2},
		"fence, a step":                 {policy: task.Fence, rules: late(0), lost: 1, code: unknown, workflows: 1, message: "the agent had taken 1 step", steps: 1},
		"fence, twice":                  {policy: task.Fence, rules: late(time.Hour), lost: 2, code: unknown, workflows: 2, message: "the agent had taken no step in it"},
		"fence, figures never come":     {policy: task.Fence, rules: anchortest.SessionRules{FiguresDelay: time.Hour, FiguresNull: true}, lost: 1, code: unknown, workflows: 1, message: "its browser session was ended", steps: -1},
		"fence, the browser stays":      {policy: task.Fence, rules: anchortest.SessionRules{FirstStep: time.Hour, EndDelay: 3 * time.Second}, lost: 1, code: unknown, workflows: 1, message: "the agent had taken no step in it"},
		"fence, the end is not certain": {policy: task.Fence, plan: failsToEnd, lost: 1, code: unknown, workflows: 1, message: "could not be ended and ends by itself: 500: ", steps: -1},
		"resubmit":                      {policy: task.Resubmit, lost: 1, code: success, workflows: 2, steps: 2},
		"resubmit, twice":               {policy: task.Resubmit, lost: 2, code: unknown, workflows: 2, message: "taken 1 step", steps: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t, anchortest.WithSessionRules(c.rules), planSessions(c.plan))
			more := `,"on_unknown_submission":"` + string(c.policy) + `"`
			w.finish("w1", w.request(w.planned(anchortest.Plan{Run: 30 * time.Millisecond, Submit: []anchortest.Fault{lost.Repeated(c.lost)}}, more))(1))
			ev, logs := w.wantOneEvent(c.code, c.workflows), w.api.Sessions()
			if c.message != "" && !strings.Contains(ev.Error.Message, c.message) {
				t.Errorf("got %q, want %q in it", ev.Error.Message, c.message)
			}
			if len(logs) != c.workflows || ev.SessionID != logs[c.workflows-1].ID || ev.Attempts != c.workflows {
				t.Fatalf("got session %s after %d attempts, want the last of %+v", ev.SessionID, ev.Attempts, logs)
			}
			if len(logs) == 2 && logs[1].Created.Before(logs[0].Ended) {
				t.Error("the task was run again before its first session had ended")
			}
			if got := ev.Steps; (got != nil) != (c.steps >= 0) || got != nil && *got != c.steps {
				t.Errorf("got %v steps, want %d", got, c.steps)
			}
			if len(c.plan.End) == 0 {
				w.wantEnded(ev)
			} else if ev.SessionEnded == nil || *ev.SessionEnded {
				t.Errorf("got ended %v, want false", ev.SessionEnded)
			}
		})
	}
}

// A shutdown ends the wait for the figures at once. The next worker fences again.
func TestAShutdownInterruptsAFence(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"end session", "look"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t, thinking(), planSessions(anchortest.SessionPlan{End: []anchortest.Fault{anchortest.Answer(500).Repeated(2)}}))
			plan := anchortest.Plan{Submit: []anchortest.Fault{anchortest.Reset().ButAccepted()}}
			deliver := w.request(w.planned(plan, `,"on_unknown_submission":"fence"`))
			w.drain("w1", step, deliver(1))
			w.finish("w2", deliver(2))
			w.wantEnded(w.wantOneEvent(success, 2))
			w.wantSessions(2)
		})
	}
}
