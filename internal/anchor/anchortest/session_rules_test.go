package anchortest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

// withRules returns a stand-in with rules, whose workflows run for an hour.
func withRules(t *testing.T, rules anchortest.SessionRules) *anchortest.Server {
	t.Helper()
	s := anchortest.New(planned(anchortest.Plan{Run: time.Hour}), anchortest.WithSessionRules(rules))
	t.Cleanup(s.Close)
	return s
}

// end deletes a session and returns the status of the answer.
func end(t *testing.T, s *anchortest.Server, id string) int {
	t.Helper()
	status, _ := ask(t, s, "DELETE", "/v1/sessions/"+id, "")
	return status
}

// figuresOf returns the steps and credits of a session.
func figuresOf(t *testing.T, s *anchortest.Server, id string) string {
	t.Helper()
	_, data := ask(t, s, "GET", "/v1/sessions/"+id, "")
	return fmt.Sprint(data["steps"], " ", data["credits_used"])
}

// countOpen returns how many sessions GET /v1/sessions/all/status has.
func countOpen(t *testing.T, s *anchortest.Server) any {
	t.Helper()
	_, data := ask(t, s, "GET", "/v1/sessions/all/status", "")
	return data["count"]
}

func TestListsLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withRules(t, anchortest.SessionRules{ListLag: 10 * time.Second})
		id := open(t, s, tagged)
		<-time.After(9 * time.Second)
		if got, history := countOpen(t, s), listed(t, s, ""); got != 0.0 || history != "" {
			t.Errorf("got %v sessions and %s, want none yet", got, history)
		}
		<-time.After(2 * time.Second)
		_ = end(t, s, id)
		<-time.After(9 * time.Second)
		if got, history := countOpen(t, s), listed(t, s, "status=running"); got != 1.0 || history != "a" {
			t.Errorf("got %v sessions and %s, want the ended one", got, history)
		}
		if got := stateOf(t, s, id); got != "completed" {
			t.Errorf("got %s, want completed: only lists lag", got)
		}
		<-time.After(2 * time.Second)
		if got, history := countOpen(t, s), listed(t, s, "status=completed"); got != 0.0 || history != "a" {
			t.Errorf("got %v sessions and %s, want it ended", got, history)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := withRules(t, anchortest.SessionRules{ListEnded: true})
		_ = end(t, s, open(t, s, tagged))
		if got := countOpen(t, s); got != 1.0 {
			t.Errorf("got %v sessions, want the ended one", got)
		}
	})
}

func TestFiguresComeLate(t *testing.T) {
	for null, want := range map[bool]string{false: "0 0", true: "<nil> <nil>"} {
		synctest.Test(t, func(t *testing.T) {
			s := withRules(t, anchortest.SessionRules{FiguresDelay: time.Minute, FiguresNull: null})
			id := open(t, s, tagged)
			_, _ = run(t, s, "x", id)
			<-time.After(10 * time.Second)
			_ = end(t, s, id)
			if got := figuresOf(t, s, id); got != want {
				t.Errorf("got %s right after the end, want %s", got, want)
			}
			<-time.After(time.Minute)
			if got, want := figuresOf(t, s, id), "3 0.0401"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestAnAgentThinksBeforeItsFirstStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withRules(t, anchortest.SessionRules{FirstStep: 5 * time.Second})
		id := open(t, s, tagged)
		_, _ = run(t, s, "x", id)
		for _, want := range []string{"0 0.01", "1 0.0201"} {
			if got := figuresOf(t, s, id); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			<-time.After(5 * time.Second)
		}
	})
}

func TestASessionEndsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withRules(t, anchortest.SessionRules{EndDelay: 10 * time.Second})
		id := open(t, s, tagged)
		for range 2 {
			if got := end(t, s, id); got != 200 {
				t.Errorf("got %d, want 200", got)
			}
		}
		if got := stateOf(t, s, id); got != "running" {
			t.Errorf("got %s at once, want running", got)
		}
		<-time.After(11 * time.Second)
		if got := stateOf(t, s, id); got != "completed" {
			t.Errorf("got %s, want completed", got)
		}
	})
}

func TestAMinuteOfATimeoutCanBeShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := withRules(t, anchortest.SessionRules{Minute: time.Second})
		_ = open(t, s, `{"session":{"timeout":{"max_duration":3,"idle_timeout":-1}}}`)
		_ = open(t, s, `{"session":{"timeout":{"max_duration":-1,"idle_timeout":2}}}`)
		<-time.After(time.Hour)
		for i, want := range []string{"max_duration", "idle_timeout"} {
			log := s.Sessions()[i]
			if took := time.Duration(3-i) * time.Second; log.Cause != want || log.Ended.Sub(log.Created) != took {
				t.Errorf("got %+v, want %s after %v", log, want, took)
			}
		}
	})
}

func TestTheRulesSayHowAWorkflowWithoutItsSessionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		rules       anchortest.SessionRules
		first, then string
	}{
		"as by default":  {anchortest.SessionRules{}, "FAILED: the browser session has ended", "FAILED: the browser session has ended"},
		"canceled":       {anchortest.SessionRules{TaskState: "CANCELED"}, "CANCELED: the browser session has ended", "CANCELED: the browser session has ended"},
		"completed late": {anchortest.SessionRules{TaskState: "COMPLETED", TaskDelay: time.Minute}, "RUNNING", "COMPLETED"},
		"never":          {anchortest.SessionRules{TaskState: "RUNNING"}, "RUNNING", "RUNNING"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := withRules(t, c.rules)
				id := open(t, s, tagged)
				_, workflow := run(t, s, "x", id)
				_ = end(t, s, id)
				if got := workflowState(t, s, workflow); got != c.first {
					t.Errorf("got %s, want %s", got, c.first)
				}
				<-time.After(2 * time.Hour) // longer than the workflow would have run
				if got := workflowState(t, s, workflow); got != c.then {
					t.Errorf("got %s later, want %s", got, c.then)
				}
			})
		})
	}
}

func TestTheRulesSayWhatATaskInAnEndedSessionMeets(t *testing.T) {
	for rule, want := range map[int]int{0: 403, 404: 404, 400: 400, 200: 200} {
		synctest.Test(t, func(t *testing.T) {
			s := withRules(t, anchortest.SessionRules{TaskInEnded: rule})
			id := open(t, s, tagged)
			_ = end(t, s, id)
			status, workflow := run(t, s, "x", id)
			if status != want {
				t.Errorf("got %d, want %d", status, want)
			}
			if want != 200 {
				return
			}
			if got, want := workflowState(t, s, workflow), "FAILED: the browser session has ended"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if got := s.Sessions()[0]; got.Steps != 0 || len(got.Workflows) != 0 {
				t.Errorf("got %+v, want no step in a session that has ended", got)
			}
			if status, data := ask(t, s, "POST", webTask+"?sessionId="+id, `{"prompt":"y"}`); status != 500 {
				t.Errorf("got %d %v of a synchronous task, want 500", status, data)
			}
		})
	}
}

func TestTheRulesSayWhichSessionsAreUnknownOrForeign(t *testing.T) {
	rules := anchortest.SessionRules{
		Forget: true, UnknownDelete: 404, Foreign: func(id string) bool { return id == "theirs" },
	}
	synctest.Test(t, func(t *testing.T) {
		s := withRules(t, rules)
		id := open(t, s, tagged)
		for want, id := range map[int]string{200: id, 404: "nobody", 403: "theirs"} {
			if got := end(t, s, id); got != want {
				t.Errorf("%s: got %d, want %d", id, got, want)
			}
		}
		if got, foreign := stateOf(t, s, id), stateOf(t, s, "theirs"); got != "404" || foreign != "403" {
			t.Errorf("got %s and %s, want the ended session to be forgotten, and 403", got, foreign)
		}
		for _, id := range []string{id, "theirs"} {
			if status, _ := run(t, s, "x", id); status != 403 {
				t.Errorf("%s: got %d for a task, want 403", id, status)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := withRules(t, anchortest.SessionRules{EndedDelete: 404})
		id := open(t, s, tagged)
		if first, second := end(t, s, id), end(t, s, id); first != 200 || second != 404 {
			t.Errorf("got %d and %d, want 200 and 404", first, second)
		}
	})
}

func TestTheRulesSayWhatAnUnknownWorkflowGets(t *testing.T) {
	for rule, want := range map[int]int{0: 404, 400: 400, 500: 500, 200: 200} {
		s := withRules(t, anchortest.SessionRules{UnknownWorkflow: rule})
		if got, _ := ask(t, s, "GET", webTask+"/nobody/status", ""); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	if got := workflowState(t, withRules(t, anchortest.SessionRules{UnknownWorkflow: 200}), "nobody"); got != "RUNNING" {
		t.Errorf("got %s, want RUNNING", got)
	}
}
