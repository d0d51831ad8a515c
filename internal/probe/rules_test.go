package probe_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/probe"
)

// variant is one way in which the API may be, and what a probe must say of it.
type variant struct {
	rules           anchortest.SessionRules
	waits           probe.Waits // the zero value is quick
	fact            string      // that differs from the others, which are fine
	want            probe.Verdict
	seen            string // part of the sentence
	sessions, fence bool
}

func variants() map[string]variant {
	const late, never, short = 100 * time.Millisecond, time.Hour, 60 * time.Millisecond
	rules := func(change func(*anchortest.SessionRules)) (r anchortest.SessionRules) { change(&r); return r }
	figures := soon(func(w *probe.Waits) { w.Figures = 300 * time.Millisecond })
	workflow := soon(func(w *probe.Waits) { w.Workflow = short })
	return map[string]variant{
		"by default":         {anchortest.SessionRules{}, probe.Waits{}, "list by tag", probe.Fine, "listed at once", true, true},
		"a list that lags":   {anchortest.SessionRules{ListLag: late}, probe.Waits{}, "list by tag", probe.Fine, "listed after", true, true},
		"no list":            {anchortest.SessionRules{ListLag: never}, soon(func(w *probe.Waits) { w.List = short }), "list by tag", probe.Bad, "not listed within 60ms", true, true},
		"a list of all":      {anchortest.SessionRules{ListEnded: true}, probe.Waits{}, "list by tag", probe.Fine, "listed at once", true, true},
		"a late end":         {anchortest.SessionRules{EndDelay: late}, probe.Waits{}, "end of a session", probe.Fine, "ended after 1", true, true},
		"no second end":      {anchortest.SessionRules{EndedDelete: 404}, probe.Waits{}, "end of a session", probe.Fine, "ended after", true, true},
		"forgotten sessions": {anchortest.SessionRules{Forget: true}, probe.Waits{}, "steps after the end", probe.Bad, "its steps are lost: 404: Session not found", true, false},
		"steps that are 0 at first": {
			anchortest.SessionRules{FiguresDelay: late}, probe.Waits{}, "steps after the end", probe.Bad, "cannot be told from others", true, false,
		},
		"steps that come late": {
			anchortest.SessionRules{FiguresDelay: 3 * late, FiguresNull: true}, probe.Waits{}, "steps after the end", probe.Fine, "1 step, 0.02 credits, final", true, true,
		},
		"no steps after the end": {
			anchortest.SessionRules{FiguresDelay: never, FiguresNull: true}, figures, "steps after the end", probe.Bad, "none reported within 300ms", true, false,
		},
		"no steps ever": {
			anchortest.SessionRules{FirstStep: never}, soon(func(w *probe.Waits) { w.Step = short }), "steps after the end", probe.Bad, "0, although", true, false,
		},
		"canceled":         {anchortest.SessionRules{TaskState: "CANCELED"}, probe.Waits{}, "workflow without session", probe.Fine, "CANCELED after", true, true},
		"failed late":      {anchortest.SessionRules{TaskDelay: 1500 * time.Millisecond}, probe.Waits{}, "workflow without session", probe.Fine, "FAILED after 1", true, true},
		"completed":        {anchortest.SessionRules{TaskState: "COMPLETED"}, probe.Waits{}, "workflow without session", probe.Bad, "would look like a success", false, false},
		"an agent runs on": {anchortest.SessionRules{TaskState: "RUNNING"}, workflow, "workflow without session", probe.Bad, "still RUNNING after 60ms", false, false},
		"404 late":         {anchortest.SessionRules{TaskInEnded: 404}, probe.Waits{}, "task in an ended session", probe.Fine, "refused: 404 Not Found", true, true},
		"401 late":         {anchortest.SessionRules{TaskInEnded: 401}, probe.Waits{}, "task in an ended session", probe.Unknown, "401", true, false},
		"500 late":         {anchortest.SessionRules{TaskInEnded: 500}, probe.Waits{}, "task in an ended session", probe.Unknown, "may have been accepted", true, false},
		"accepted late":    {anchortest.SessionRules{TaskInEnded: 200}, probe.Waits{}, "task in an ended session", probe.Unknown, "accepted, and FAILED", true, false},
		"completed though late": {
			rules(func(r *anchortest.SessionRules) { r.TaskInEnded, r.TaskState = 200, "COMPLETED" }),
			probe.Waits{},
			"task in an ended session", probe.Bad, "it ran although", false, false,
		},
		"running though late": {
			rules(func(r *anchortest.SessionRules) { r.TaskInEnded, r.TaskState = 200, "RUNNING" }), workflow,
			"task in an ended session", probe.Bad, "still RUNNING", false, false,
		},
		"400 for no workflow":       {anchortest.SessionRules{UnknownWorkflow: 400}, probe.Waits{}, "unknown workflow id", probe.Fine, "400 Bad Request, in the API's own form", true, true},
		"500 for no workflow":       {anchortest.SessionRules{UnknownWorkflow: 500}, probe.Waits{}, "unknown workflow id", probe.Bad, "500", true, true},
		"429 for no workflow":       {anchortest.SessionRules{UnknownWorkflow: 429}, probe.Waits{}, "unknown workflow id", probe.Unknown, "429", true, true},
		"a success for no workflow": {anchortest.SessionRules{UnknownWorkflow: 200}, probe.Waits{}, "unknown workflow id", probe.Bad, "a success", true, true},
		"foreign sessions": {
			anchortest.SessionRules{Foreign: func(string) bool { return true }},
			soon(func(w *probe.Waits) { w.Step, w.End = short, short }),
			"task in a session", probe.Bad, "not accepted: 403", false, false,
		},
	}
}

// The facts that nobody documents are seen, each as it is, and the conclusion follows from them.
func TestEachVariantOfTheAPIIsSeen(t *testing.T) {
	t.Parallel()
	for name, v := range variants() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if v.waits == (probe.Waits{}) {
				v.waits = quick()
			}
			api := startAPI(t, anchortest.WithSessionRules(v.rules))
			got := run(t.Context(), t, api, v.waits, nil)
			if verdict, seen := got.verdict(v.fact); verdict != v.want || !strings.Contains(seen, v.seen) {
				t.Errorf("%s: got %s, %q, want %s, %q", v.fact, verdict, seen, v.want, v.seen)
			}
			if c := got.conclusion; c.Sessions != v.sessions || c.Fence != v.fence || !strings.Contains(c.Text, v.words()) {
				t.Errorf("got %+v, want sessions %v and fence %v", c, v.sessions, v.fence)
			}
			if v.rules.Foreign == nil && len(openSessions(api)) > 0 {
				t.Errorf("got the sessions %v open, want none", openSessions(api))
			}
		})
	}
}

// words is how the conclusion begins.
func (v variant) words() string {
	switch {
	case v.fence:
		return "SESSIONS=on can be used"
	case v.sessions:
		return "SESSIONS=on can be used, but without on_unknown_submission: fence. Against it: "
	default:
		return "SESSIONS=on cannot be used. Against it: "
	}
}

func TestAnAccountOnWhichEverythingIsFine(t *testing.T) {
	t.Parallel()
	api := startAPI(t, anchortest.WithStartRate(anchortest.StartRate{Quota: 5, Window: time.Minute}))
	got := run(t.Context(), t, api, quick(), nil)
	var facts []string
	for _, f := range got.findings {
		facts = append(facts, f.Fact)
		if f.Verdict != probe.Fine || f.Seen == "" {
			t.Errorf("got %+v, want it fine", f)
		}
	}
	want := "unknown workflow id, new session, RateLimit headers, list by tag, task in a session, end of a session, steps after the end, " +
		"task in an ended session, new session, steps during a task, end of a busy session, workflow without session, steps of an ended task, clean-up"
	if strings.Join(facts, ", ") != want {
		t.Errorf("got %v, want %s", facts, want)
	}
	if _, seen := got.verdict("RateLimit headers"); !strings.Contains(seen, "4 more starts until the window ends in 1m0s") {
		t.Errorf("got %q, want what the header says", seen)
	}
	if c := got.conclusion; c.Credits < 0.039 || c.Text != "SESSIONS=on can be used" {
		t.Errorf("got %+v, want the credits of two sessions", c)
	}
	sessions := api.Sessions()
	if len(sessions) != probe.Sessions {
		t.Errorf("got %v, want %d sessions", sessions, probe.Sessions)
	}
	for _, s := range sessions {
		if s.Cause != "deleted" || s.Deletes != 1 || len(s.Workflows) != 1 || s.Tags[0] != "capstan-probe" {
			t.Errorf("got %+v, want one task and one end", s)
		}
	}
}
