package pipeline_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// The same as without sessions, with each choice of on_unknown_submission, and with a session for each run. Whatever happens,
// no session of the task is open in the end.
func TestWhereverAWorkerDiesNoSessionOfItsTaskStaysOpen(t *testing.T) {
	t.Parallel()
	const unknown = task.SubmissionUnknown
	all := []task.OnUnknown{task.Fail, task.Resubmit, task.Fence}
	fail, resubmit, fence := all[:1], all[1:2], all[2:]
	for _, c := range []struct {
		step      string
		happened  bool
		policies  []task.OnUnknown
		acted     bool // the agent takes its first step at once
		code      task.Code
		workflows int
		sessions  int
	}{
		{step: "create", policies: all, code: success, workflows: 1, sessions: 1},
		{step: "create", happened: true, policies: all, code: success, workflows: 1, sessions: 1},
		{step: "create session", policies: all, code: success, workflows: 1, sessions: 1},
		{step: "create session", happened: true, policies: all, code: success, workflows: 1, sessions: 2},
		{step: "save submitting", policies: all, code: success, workflows: 1, sessions: 2},
		{step: "save submitting", happened: true, policies: fail, code: unknown, sessions: 1},
		{step: "save submitting", happened: true, policies: resubmit, code: success, workflows: 1, sessions: 2},
		{step: "save submitting", happened: true, policies: fence, acted: true, code: success, workflows: 1, sessions: 2}, // nothing was posted
		{step: "submit", policies: fail, code: unknown, sessions: 1},
		{step: "submit", policies: resubmit, code: success, workflows: 1, sessions: 2},
		{step: "submit", policies: fence, code: success, workflows: 1, sessions: 2},
		{step: "submit", happened: true, policies: fail, code: unknown, workflows: 1, sessions: 1},
		{step: "submit", happened: true, policies: resubmit, acted: true, code: success, workflows: 2, sessions: 2},
		{step: "submit", happened: true, policies: fence, code: success, workflows: 2, sessions: 2},
		{step: "submit", happened: true, policies: fence, acted: true, code: unknown, workflows: 1, sessions: 1},
		{step: "save running", policies: fail, code: unknown, workflows: 1, sessions: 1},
		{step: "save running", policies: resubmit, code: success, workflows: 2, sessions: 2},
		{step: "save running", policies: fence, acted: true, code: unknown, workflows: 1, sessions: 1},
		{step: "save running", happened: true, policies: all, code: success, workflows: 1, sessions: 1},
		{step: "status", policies: fail, code: success, workflows: 1, sessions: 1},
		{step: "status", happened: true, policies: fence, code: success, workflows: 1, sessions: 1},
		{step: "end session", policies: all, code: success, workflows: 1, sessions: 1},
		{step: "end session", happened: true, policies: all, code: success, workflows: 1, sessions: 1},
		{step: "look", policies: fail, code: success, workflows: 1, sessions: 1},
		{step: "look", happened: true, policies: fence, code: success, workflows: 1, sessions: 1},
		{step: "publish", policies: fence, code: success, workflows: 1, sessions: 1},
		{step: "publish", happened: true, policies: fail, code: success, workflows: 1, sessions: 1},
		{step: "save succeeded", policies: fail, code: success, workflows: 1, sessions: 1},
		{step: "save succeeded", happened: true, policies: fence, code: success, workflows: 1, sessions: 1},
	} {
		for _, policy := range c.policies {
			t.Run(fmt.Sprintf("%s, happened %v, %s, acted %v", c.step, c.happened, policy, c.acted), func(t *testing.T) {
				t.Parallel()
				var opts []anchortest.Option
				if !c.acted {
					opts = append(opts, thinking())
				}
				w := newSessionWorld(t, opts...)
				deliver := w.request(w.planned(anchortest.Plan{Run: 30 * time.Millisecond}, `,"on_unknown_submission":"`+string(policy)+`"`))
				w.die("w1", &death{step: c.step, happened: c.happened}, deliver(1))
				w.finish("w2", deliver(2))
				w.finish("w3", deliver(3))
				w.wantEnded(w.wantOneEvent(c.code, c.workflows))
				w.wantSessions(c.sessions)
			})
		}
	}
}

// A worker dies while it fences, and the next one does it again.
func TestAFenceIsRepeatedByTheNextWorker(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"end session", "look", "save waiting"} {
		for _, happened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, happened %v", step, happened), func(t *testing.T) {
				t.Parallel()
				w := newSessionWorld(t, thinking())
				deliver := w.request(w.planned(anchortest.Plan{Run: 30 * time.Millisecond}, `,"on_unknown_submission":"fence"`))
				w.die("w1", &death{step: "submit", happened: true}, deliver(1))
				w.die("w2", &death{step: step, happened: happened}, deliver(2))
				w.finish("w3", deliver(3))
				w.finish("w4", deliver(4))
				w.wantEnded(w.wantOneEvent(success, 2))
				if logs := w.wantSessions(2); logs[1].Created.Before(logs[0].Ended) {
					t.Error("the task was run again before its first session had ended")
				}
			})
		}
	}
}

// The end of the session ends the workflow, too. Nobody who takes the task over judges that, or runs the task again for it.
func TestWhereverAWorkerDiesTheReasonOfAnEarlyEndStays(t *testing.T) {
	t.Parallel()
	for _, code := range []task.Code{task.Timeout, task.Canceled} {
		for _, step := range []string{"save running", "end session", "look", "dead-letter", "publish", "save failed"} {
			for _, happened := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, happened %v", code, step, happened), func(t *testing.T) {
					t.Parallel()
					w := newSessionWorld(t)
					m := newMarks()
					w.steering, w.keepFailed = m, true
					more := `,"retries":1`
					if code == task.Timeout {
						more += `,"timeout":"100ms"`
					}
					deliver := w.request(w.planned(anchortest.Plan{Run: time.Hour}, more))
					w.die("w1", &death{step: "save running", happened: true}, deliver(1))
					if code == task.Canceled {
						m.cancel("a", "wrong customer")
					}
					w.die("w2", &death{step: step, happened: happened, survives: map[bool]int{true: 1}[step == "save running"]}, deliver(2))
					w.finish("w3", deliver(3))
					w.finish("w4", deliver(4))
					ev := w.wantOneEvent(code, 1)
					w.wantEnded(ev)
					if !strings.Contains(ev.Error.Message, "; its browser session was ended") || len(ev.Runs) > 0 {
						t.Errorf("got %q and the runs %+v, want one run and its session", ev.Error.Message, ev.Runs)
					}
					w.wantSessions(1)
				})
			}
		}
	}
}

// The worker dies right after it has written why it ends the session. The workflow goes on, and its result does not count.
func TestTheReasonOnTheRecordDecides(t *testing.T) {
	t.Parallel()
	for _, code := range []task.Code{task.Timeout, task.Canceled, task.WorkflowLost} {
		t.Run(string(code), func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t)
			deliver := w.request(w.planned(anchortest.Plan{Run: 30 * time.Millisecond}, `,"retries":1`))
			w.die("w1", &death{step: "save running", happened: true}, deliver(1))
			records := w.records()
			rec, err := records.Get(t.Context(), "a")
			if err == nil {
				rec.Ending = code
				_, err = records.Save(t.Context(), rec)
			}
			if err != nil {
				t.Fatal(err)
			}
			w.finish("w2", deliver(2))
			w.wantEnded(w.wantOneEvent(code, 1))
		})
	}
}
