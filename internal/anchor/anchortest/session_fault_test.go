package anchortest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

const tagged = `{"session":{"tags":["a"]}}`

// planSessions gives the calls about all sessions the same plan.
func planSessions(p anchortest.SessionPlan) anchortest.Option {
	return anchortest.WithSessionPlan(func([]string) anchortest.SessionPlan { return p })
}

// openSessions returns the ids of the sessions that are open.
func openSessions(s *anchortest.Server) (ids []string) {
	for _, ss := range s.Sessions() {
		if ss.Ended.IsZero() {
			ids = append(ids, ss.ID)
		}
	}
	return ids
}

// Each call about a session fails in both ways: without effect, and although it had its effect.
func TestCallsAboutSessionsFailBeforeAndAfterTheirEffect(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault   anchortest.Fault
		status  int // 0: no answer
		happens bool
	}{
		"reset":            {anchortest.Reset(), 0, false},
		"reset, done":      {anchortest.Reset().ButAccepted(), 0, true},
		"cut":              {anchortest.Fault{Cut: true}, 200, true},
		"500":              {anchortest.Answer(500), 500, false},
		"500, done":        {anchortest.Answer(500).ButAccepted(), 500, true},
		"429":              {anchortest.RateLimited(7), 429, false},
		"page":             {anchortest.HTML(502), 502, false},
		"200 without data": {anchortest.NoID().ButAccepted(), 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, planSessions(anchortest.SessionPlan{Create: []anchortest.Fault{c.fault}, End: []anchortest.Fault{c.fault}}))
			status, _, _, _ := call(t, s, "POST", "/v1/sessions", tagged)
			if got := len(openSessions(s)) == 1; status != c.status || got != c.happens {
				t.Errorf("create: got %d and created %v, want %d and %v", status, got, c.status, c.happens)
			}
			id := open(t, s, tagged)
			status, _, _, _ = call(t, s, "DELETE", "/v1/sessions/"+id, "")
			if got := stateOf(t, s, id) == "completed"; status != c.status || got != c.happens {
				t.Errorf("end: got %d and ended %v, want %d and %v", status, got, c.status, c.happens)
			}
		})
	}
}

func TestFaultsOfAPlanStrikeTheirCallsInTheirOrder(t *testing.T) {
	t.Parallel()
	faults := []anchortest.Fault{anchortest.Answer(503), anchortest.Answer(500).Repeated(2)}
	s := start(t, planSessions(anchortest.SessionPlan{Get: faults, End: faults, List: faults}))
	id := open(t, s, tagged)
	for _, c := range []struct{ method, target string }{
		{"GET", "/v1/sessions/" + id}, {"GET", "/v1/sessions/all/status?tags=a"}, {"GET", "/v1/sessions?tags=b"}, {"DELETE", "/v1/sessions/" + id},
	} {
		for n, want := range []int{503, 500, 500, 200} {
			if status, _, _, err := call(t, s, c.method, c.target, ""); err != nil || status != want {
				t.Errorf("%s %s, call %d: got %d, %v, want %d", c.method, c.target, n, status, err, want)
			}
		}
	}
	if log := s.Sessions()[0]; log.Deletes != 4 || log.Cause != "deleted" {
		t.Errorf("got %+v, want four calls that asked for the end", log)
	}
}

func TestATagBringsThePlan(t *testing.T) {
	t.Parallel()
	plan := anchortest.SessionPlan{Create: []anchortest.Fault{{Before: time.Millisecond, Status: 500}}}
	tag, err := anchortest.SessionTag(plan)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"session": map[string]any{"tags": []string{"a", tag}}})
	if err != nil {
		t.Fatal(err)
	}
	s := start(t)
	if status, data := ask(t, s, "POST", "/v1/sessions", string(body)); status != 500 {
		t.Errorf("got %d %v, want the fault of the tag", status, data)
	}
	_ = open(t, s, string(body))
	status, data := ask(t, s, "POST", "/v1/sessions", `{"session":{"tags":["plan:{\"creat\":[]}"]}}`)
	if message, _ := data["message"].(string); status != 400 || !strings.Contains(message, "read the plan in the tag") {
		t.Errorf("got %d %v of a misspelled plan, want 400", status, data)
	}
}

func TestCallsAboutSessionsAreDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := []anchortest.Fault{{Before: time.Second, After: time.Minute}}
		s := anchortest.New(planSessions(anchortest.SessionPlan{Create: slow, Get: slow, End: slow, List: slow}))
		defer s.Close()
		began := time.Now()
		id := open(t, s, tagged)
		if got := s.Sessions()[0].Created.Sub(began); got != time.Second {
			t.Errorf("got a session after %v, want 1s", got)
		}
		for _, c := range []struct{ method, target string }{
			{"GET", "/v1/sessions/" + id}, {"GET", "/v1/sessions/all/status"}, {"DELETE", "/v1/sessions/" + id},
		} {
			_, _ = ask(t, s, c.method, c.target, "")
		}
		if got, want := time.Since(began), 4*61*time.Second; got != want {
			t.Errorf("got four calls in %v, want %v", got, want)
		}
	})
}

func TestRandomFaultsStrikeCallsAboutSessions(t *testing.T) {
	t.Parallel()
	always := func(status int) []anchortest.Chance {
		return []anchortest.Chance{{Probability: 1, Fault: anchortest.Answer(status)}}
	}
	s := anchortest.New(anchortest.WithRandomSessionFaults(1, anchortest.SessionChances{Get: always(501), End: always(502), List: always(503)}))
	id := open(t, s, tagged)
	for _, c := range []struct {
		method, target string
		want           int
	}{
		{"GET", "/v1/sessions/" + id, 501}, {"DELETE", "/v1/sessions/" + id, 502}, {"GET", "/v1/sessions/all/status", 503}, {"GET", "/v1/billing", 200},
	} {
		if status, _ := ask(t, s, c.method, c.target, ""); status != c.want {
			t.Errorf("%s %s: got %d, want %d", c.method, c.target, status, c.want)
		}
	}
	refusing := anchortest.New(anchortest.WithRandomSessionFaults(1, anchortest.SessionChances{Create: always(500)}),
		anchortest.WithRandomFaults(1, always(404), nil))
	if status, _ := ask(t, refusing, "POST", "/v1/sessions", tagged); status != 500 {
		t.Errorf("got %d, want the fault of creations", status)
	}
}

func TestSessionsAreLoggedForOtherProcesses(t *testing.T) {
	t.Parallel()
	s := start(t)
	id := open(t, s, tagged)
	_, workflow := run(t, s, "x", id)
	_, _ = run(t, s, "y", "")
	if !s.EndSession(id) || s.EndSession(id) || s.EndSession("nobody") {
		t.Error("want a session to end once")
	}
	status, answer, _, err := call(t, s, http.MethodGet, "/_stand-in/sessions", "")
	var logs []anchortest.SessionLog
	if err != nil || status != 200 || json.Unmarshal([]byte(answer), &logs) != nil || len(logs) != 1 {
		t.Fatalf("got %d %s, %v, want one session", status, answer, err)
	}
	log := logs[0]
	if log.ID != id || len(log.Workflows) != 1 || log.Workflows[0] != workflow || log.Steps != 1 || log.Cause != "max_duration" || log.Ended.IsZero() {
		t.Errorf("got %+v, want the session with its workflow", log)
	}
}

// What happened is told in the log of calls, even if its answer is lost.
func TestNamedFaultsStrikeCallsAboutSessions(t *testing.T) {
	t.Parallel()
	calls := make(chan anchortest.Call, 100)
	log := anchortest.WithCallLog(func(c anchortest.Call) { calls <- c })
	s := start(t, log, anchortest.WithFaults(1, faults(t, "session-lost-answer:100%")))
	id := open(t, s, tagged)
	<-calls
	for method, note := range map[string]string{"GET": "connection reset", "DELETE": "connection reset, but the session has ended"} {
		_, _, _, err := call(t, s, method, "/v1/sessions/"+id, "")
		if c := <-calls; err == nil || c.Note != note || c.Fault != "lost-answer" || c.Session != id {
			t.Errorf("%s: got %+v and error %v, want %s", method, c, err, note)
		}
	}
	if got := openSessions(s); len(got) != 0 {
		t.Errorf("got %v, want no session", got)
	}
	losing := start(t, log, anchortest.WithFaults(1, faults(t, "lost-answer:100%")))
	_, _, _, err := call(t, losing, "POST", "/v1/sessions", tagged)
	if c := <-calls; err == nil || c.Note != "connection reset, but session "+losing.Sessions()[0].ID+" is open" {
		t.Errorf("got %+v and error %v, want a session", c, err)
	}
}
