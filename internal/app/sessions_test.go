package app_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// doubtful are faults of each kind after which a worker cannot know whether its submission was accepted.
var doubtful = map[string]anchortest.Fault{
	"500": anchortest.Answer(500), "reset": anchortest.Reset(), "no id": anchortest.NoID(), "time-out": anchortest.Hang(),
}

// newSessionWorld is a world with one worker that has SESSIONS=on. Agents take their first step after a while.
func newSessionWorld(t *testing.T, firstStep time.Duration) *world {
	t.Helper()
	w := newWorld(t, anchortest.WithSessionRules(anchortest.SessionRules{FirstStep: firstStep}))
	w.startReady("w1", "ANCHORBROWSER_REQUEST_TIMEOUT=10s", "DRAIN_TIMEOUT=15s", "SESSIONS=on")
	return w
}

// endedSessions checks that no session is open, and that each event of a submitted task names one that has ended.
func (w *world) endedSessions() {
	w.t.Helper()
	ended := map[string]bool{}
	for _, s := range w.api.Sessions() {
		ended[s.ID] = !s.Ended.IsZero()
		if s.Ended.IsZero() || len(s.Workflows) > 1 {
			w.t.Errorf("got the session %+v, want it ended, with one workflow at most", s)
		}
	}
	for _, ev := range w.events() {
		if ev.Attempts > 0 && (!ended[ev.SessionID] || ev.SessionEnded == nil || !*ev.SessionEnded) {
			w.t.Errorf("got %+v, want an event that names its session and says that it has ended", ev.Event)
		}
	}
}

// The session that a lost submission was posted into shows whether its agent has acted.
func TestWithSessionsASubmissionOfUnknownOutcomeIsRepeatedWhereItIsSafe(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy    string
		firstStep time.Duration
		code      task.Code // of a task whose submission was accepted
		attempts  int       // of that task
		again     bool      // a submission that was not accepted is repeated
	}{
		"fail":                     {"fail", time.Hour, task.SubmissionUnknown, 1, false},
		"resubmit":                 {"resubmit", 0, "", 2, true},
		"fence, no step was taken": {"fence", time.Hour, "", 2, true},
		"fence, a step was taken":  {"fence", 0, task.SubmissionUnknown, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t, tc.firstStep)
			policy := []string{fmt.Sprintf(`"on_unknown_submission":%q`, tc.policy)}
			refused := row{code: task.SubmissionUnknown, attempts: 1}
			if tc.again {
				refused = row{attempts: 2, accepted: 1}
			}
			var rows []row
			for fault, f := range doubtful {
				refused.name, refused.plan, refused.fields = fault, faulty(f), policy
				accepted := row{
					name: fault + ", accepted", plan: faulty(f.ButAccepted()), fields: policy, code: tc.code, attempts: tc.attempts, accepted: tc.attempts,
				}
				accepted.plan.Run = 5 * time.Second
				// With a success in between: too many unknown outcomes in a row would pause submissions.
				rows = append(rows, row{name: "success", plan: done, attempts: 1, accepted: 1, first: true}, refused, accepted)
			}
			w.runRows(rows)
			w.endedSessions()
		})
	}
}

func TestWithSessionsARefusedSubmissionLeavesNoSessionOpen(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t, 0)
	var rows []row
	for _, status := range []int{400, 404, 409, 422} {
		rows = append(rows, row{name: fmt.Sprint(status), plan: faulty(anchortest.Answer(status)), code: task.Rejected, attempts: 1})
	}
	for name, fault := range map[string]anchortest.Fault{
		"429": anchortest.RateLimited(1), "503 with Retry-After": anchortest.Unavailable(1), "425": anchortest.Answer(425), "HTML": anchortest.HTML(400),
	} {
		rows = append(rows, row{name: name, plan: faulty(fault), attempts: 2, accepted: 1})
	}
	w.runRows(rows)
	w.endedSessions()
}
