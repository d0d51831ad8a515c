package verdict_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// grace is how long after its event a task may have an open session.
const grace = 30 * time.Second

// inSession gives the evidence of one task the session "s1", which ended with it after three steps.
func inSession(e verdict.Evidence) verdict.Evidence {
	ev := &e.Events[0]
	ev.SessionID, ev.SessionEnded, ev.Steps = "s1", new(true), new(3)
	used := anchortest.SessionLog{
		ID: "s1", Created: ev.RequestedAt, Ended: ev.FinishedAt.Add(-time.Second), Cause: "deleted", Deletes: 1,
		Workflows: []string{"wf"}, Steps: 3,
	}
	log := e.Runs["a"]
	log.Sessions = []string{"s1"}
	e.Runs["a"] = log
	e.Sessions = &verdict.Sessions{
		Of: map[string][]anchortest.SessionLog{"a": {used}}, Seen: ev.FinishedAt.Add(time.Hour), Grace: grace,
	}
	return e
}

// another adds a session of the task that was posted into, with a workflow and steps, and that ended before the event.
func another(e *verdict.Evidence, steps int) {
	other := e.Sessions.Of["a"][0]
	other.ID, other.Workflows, other.Steps = "s0", []string{"wf0"}, steps
	e.Sessions.Of["a"] = append(e.Sessions.Of["a"], other)
	log := e.Runs["a"]
	log.Posts, log.Accepted, log.Workflows, log.Sessions = 2, 2, []string{"wf0", "wf"}, []string{"s0", "s1"}
	e.Runs["a"] = log
	e.Events[0].Attempts = 2
}

func TestSessionsThatWereUsedAndEndedAreNoProblem(t *testing.T) {
	for name, change := range map[string]func(*verdict.Task, *verdict.Evidence){
		"ended with the task": func(*verdict.Task, *verdict.Evidence) {},
		"steps that are not known": func(_ *verdict.Task, e *verdict.Evidence) {
			e.Events[0].Steps = nil
		},
		"steps that come late": func(_ *verdict.Task, e *verdict.Evidence) {
			e.Events[0].Steps, e.Sessions.Late = new(0), true
		},
		"repeated where the first session shows no steps": func(a *verdict.Task, e *verdict.Evidence) {
			a.Fence = true
			another(e, 0)
		},
		"refused once more after each wait": func(_ *verdict.Task, e *verdict.Evidence) {
			s := &e.Sessions.Of["a"][0]
			s.Ended, s.Cause, s.Deletes = time.Time{}, "", 9
			e.Events[0].SessionEnded, e.Events[0].Steps = new(false), nil
		},
		"open for less than the grace": func(_ *verdict.Task, e *verdict.Evidence) {
			s := e.Sessions.Of["a"][0]
			s.ID, s.Workflows, s.Steps, s.Ended = "s2", nil, 0, e.Events[0].FinishedAt.Add(grace)
			e.Sessions.Of["a"] = append(e.Sessions.Of["a"], s)
		},
		"never submitted": func(a *verdict.Task, e *verdict.Evidence) {
			*e = inSession(evidence(failed(task.Canceled)))
			a.Status, a.Code, a.Result, a.NeverRun = task.Failed, task.Canceled, nil, true
			e.Runs, e.Sessions.Of = nil, nil
			e.Events[0].SessionID, e.Events[0].SessionEnded, e.Events[0].Steps, e.Events[0].WorkflowID = "", nil, nil, ""
		},
	} {
		a, e := asked(), inSession(good())
		change(&a, &e)
		if c := verdict.Judge([]verdict.Task{a}, e); len(c.Problems) > 0 {
			t.Errorf("%s: got problems %q", name, c.Problems)
		}
	}
}

func TestASessionThatBreaksAPromiseIsAProblem(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(a *verdict.Task, e *verdict.Evidence, s *anchortest.SessionLog)
		want  string
	}{
		"never ended": {func(_ *verdict.Task, e *verdict.Evidence, s *anchortest.SessionLog) {
			s.Ended, s.Cause, s.Deletes = time.Time{}, "", 0
			e.Events[0].SessionEnded, e.Events[0].Steps = new(false), nil
		}, "open for 1h0m0s after its event"},
		"ended too late, by itself": {func(_ *verdict.Task, e *verdict.Evidence, s *anchortest.SessionLog) {
			s.Ended, s.Cause, s.Deletes = e.Events[0].FinishedAt.Add(grace+time.Second), "idle_timeout", 1
			e.Events[0].SessionEnded = new(false)
		}, "open for 31s after its event"},
		"created shortly before the event, and never used": {func(_ *verdict.Task, e *verdict.Evidence, _ *anchortest.SessionLog) {
			left := anchortest.SessionLog{ID: "s2", Created: e.Events[0].FinishedAt.Add(-time.Second)}
			e.Sessions.Of["a"] = append(e.Sessions.Of["a"], left)
		}, "its session s2 was open for 1h0m0s after its event"},
		"used when another worker had ended the task": {func(a *verdict.Task, e *verdict.Evidence, _ *anchortest.SessionLog) {
			a.Resubmit = true
			another(e, 0)
			used := &e.Sessions.Of["a"][1]
			used.Created, used.Ended, used.Cause, used.Deletes = e.Events[0].FinishedAt, time.Time{}, "", 0
		}, "its session s0 was open for 1h0m0s after its event"},
		"refused, and the event says ended": {func(_ *verdict.Task, _ *verdict.Evidence, s *anchortest.SessionLog) {
			s.Ended, s.Cause, s.Deletes = time.Time{}, "", 9
		}, "says that the session s1 has ended"},
		"ended only after the event that says so": {func(_ *verdict.Task, e *verdict.Evidence, s *anchortest.SessionLog) {
			s.Ended = e.Events[0].FinishedAt.Add(5 * time.Second)
		}, "says that the session s1 has ended"},
		"nothing said of the end": {func(_ *verdict.Task, e *verdict.Evidence, _ *anchortest.SessionLog) {
			e.Events[0].SessionEnded = nil
		}, "does not say whether its session has ended"},
		"not named": {func(_ *verdict.Task, e *verdict.Evidence, _ *anchortest.SessionLog) {
			e.Events[0].SessionID = ""
		}, "names no session"},
		"another task's": {func(_ *verdict.Task, e *verdict.Evidence, _ *anchortest.SessionLog) {
			e.Events[0].SessionID = "s9"
		}, "never created for it"},
		"not the workflow's": {func(_ *verdict.Task, _ *verdict.Evidence, s *anchortest.SessionLog) {
			s.Workflows = []string{"wf0"}
		}, "a workflow that ran in another one"},
		"shared by two workflows": {func(_ *verdict.Task, _ *verdict.Evidence, s *anchortest.SessionLog) {
			s.Workflows = []string{"wf", "wf0"}
		}, "2 workflows ran in its session"},
		"more steps than taken": {func(_ *verdict.Task, e *verdict.Evidence, _ *anchortest.SessionLog) {
			e.Events[0].Steps, e.Sessions.Late = new(4), true
		}, "4 steps"},
		"fewer steps than taken": {func(_ *verdict.Task, e *verdict.Evidence, _ *anchortest.SessionLog) {
			e.Events[0].Steps = new(2)
		}, "2 steps"},
		"repeated after steps": {func(a *verdict.Task, e *verdict.Evidence, _ *anchortest.SessionLog) {
			a.Fence = true
			another(e, 1)
		}, "run again after the agent had taken steps in 1 sessions, at most 0"},
		"repeated without leave": {func(_ *verdict.Task, e *verdict.Evidence, _ *anchortest.SessionLog) {
			another(e, 0)
		}, "run 2 times, at most 1"},
	} {
		a, e := asked(), inSession(good())
		tc.spoil(&a, &e, &e.Sessions.Of["a"][0])
		c := verdict.Judge([]verdict.Task{a}, e)
		if len(c.Problems) != 1 || !strings.Contains(c.Problems[0], tc.want) {
			t.Errorf("%s: got problems %q, want one: %q", name, c.Problems, tc.want)
		}
	}
}
