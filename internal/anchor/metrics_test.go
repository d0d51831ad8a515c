package anchor_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestCallsAreCountedByResult(t *testing.T) {
	t.Parallel()
	api := startAPI(t, anchortest.Plan{
		Submit: []anchortest.Fault{anchortest.Answer(400), anchortest.RateLimited(1), anchortest.Reset(), anchortest.NoID()},
		Poll: []anchortest.Fault{
			anchortest.State("RUNNING"), anchortest.State("SLEEPING"), anchortest.State("FAILED"), anchortest.State("TIMED_OUT"),
			anchortest.Answer(404), anchortest.Answer(429), anchortest.Answer(403), anchortest.Garbage(),
		},
	})
	reg := prometheus.NewRegistry()
	cfg := config(api.URL())
	cfg.APIKey = anchor.Secret(api.Key())
	client, err := anchor.New(cfg, "", reg)
	if err != nil {
		t.Fatalf("new client: %v", err)
	}
	t.Cleanup(client.Close)
	var id string
	for range 5 {
		id, _ = client.Submit(t.Context(), "", []byte(body))
	}
	for range 9 {
		_, _ = client.Status(t.Context(), id, anchor.MaxAnswer)
	}
	want := `
# HELP capstan_polls_total Status calls, by result.
# TYPE capstan_polls_total counter
capstan_polls_total{result="completed"} 1
capstan_polls_total{result="denied"} 1
capstan_polls_total{result="error"} 1
capstan_polls_total{result="failed"} 2
capstan_polls_total{result="rate_limited"} 1
capstan_polls_total{result="running"} 2
capstan_polls_total{result="unknown_workflow"} 1
# HELP capstan_submissions_total Submissions, by result.
# TYPE capstan_submissions_total counter
capstan_submissions_total{result="accepted"} 1
capstan_submissions_total{result="not_now"} 1
capstan_submissions_total{result="refused"} 1
capstan_submissions_total{result="unknown"} 2
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "capstan_polls_total", "capstan_submissions_total"); err != nil {
		t.Error(err)
	}
	if got := testutil.CollectAndCount(reg, "capstan_api_request_seconds"); got != 2 {
		t.Errorf("got %d histograms, want 2", got)
	}
}

// A worker that makes no call about sessions has no series about them.
func TestCallsAboutSessionsAreCountedByResult(t *testing.T) {
	t.Parallel()
	api, _ := startSessions(t, anchortest.SessionPlan{
		Create: []anchortest.Fault{anchortest.Answer(400), anchortest.RateLimited(1), anchortest.Reset()},
		Get:    []anchortest.Fault{anchortest.Answer(404), anchortest.Answer(429), anchortest.Answer(403)},
		End:    []anchortest.Fault{anchortest.Reset()},
		List:   []anchortest.Fault{anchortest.Answer(500)},
	})
	reg := prometheus.NewRegistry()
	cfg := config(api.URL())
	cfg.APIKey = anchor.Secret(api.Key())
	client, err := anchor.New(cfg, "", reg)
	if err != nil {
		t.Fatalf("new client: %v", err)
	}
	t.Cleanup(client.Close)
	if got := testutil.CollectAndCount(reg, "capstan_session_calls_total"); got != 0 {
		t.Errorf("got %d series before the first call, want none", got)
	}
	var session task.NewSession
	for range 4 {
		session, _ = client.CreateSession(t.Context(), oneTag)
	}
	for range 4 {
		_, _ = client.Session(t.Context(), session.ID)
	}
	for range 2 {
		_ = client.EndSession(t.Context(), session.ID)
		_, _ = client.FindSessions(t.Context(), "a")
	}
	want := `
# HELP capstan_session_calls_total Calls about browser sessions, by call and result.
# TYPE capstan_session_calls_total counter
capstan_session_calls_total{call="create_session",result="accepted"} 1
capstan_session_calls_total{call="create_session",result="not_now"} 1
capstan_session_calls_total{call="create_session",result="refused"} 1
capstan_session_calls_total{call="create_session",result="unknown"} 1
capstan_session_calls_total{call="end_session",result="ok"} 1
capstan_session_calls_total{call="end_session",result="unknown"} 1
capstan_session_calls_total{call="find_sessions",result="error"} 1
capstan_session_calls_total{call="find_sessions",result="ok"} 1
capstan_session_calls_total{call="get_session",result="denied"} 1
capstan_session_calls_total{call="get_session",result="ok"} 1
capstan_session_calls_total{call="get_session",result="rate_limited"} 1
capstan_session_calls_total{call="get_session",result="unknown_session"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "capstan_session_calls_total"); err != nil {
		t.Error(err)
	}
	if got := testutil.CollectAndCount(reg, "capstan_api_request_seconds"); got != 6 {
		t.Errorf("got %d histograms, want 6", got)
	}
}
