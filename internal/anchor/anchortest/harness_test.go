package anchortest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(tb testing.TB, opts ...anchortest.Option) *anchortest.Server {
	tb.Helper()
	s := anchortest.New(opts...)
	if err := s.Start("127.0.0.1:0"); err != nil {
		tb.Fatalf("start: %v", err)
	}
	tb.Cleanup(s.Close)
	return s
}

// call sends one request on a new connection.
func call(tb testing.TB, s *anchortest.Server, method, target, body string) (status int, answer string, header http.Header, err error) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, s.URL()+target, strings.NewReader(body))
	if err != nil {
		tb.Fatalf("make request: %v", err)
	}
	req.Header.Set("Anchor-Api-Key", "stand-in-key")
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), resp.Header, err
}

const webTask = "/v1/tools/perform-web-task"

// submit returns the answer's status and the workflow id.
func submit(tb testing.TB, s *anchortest.Server, body string) (status int, id string) {
	tb.Helper()
	status, answer, _, err := call(tb, s, "POST", webTask, body)
	if err != nil {
		tb.Fatalf("submit: %v", err)
	}
	var parsed struct {
		Data struct {
			Status string
			ID     string `json:"workflow_id"`
		}
	}
	if status == 200 {
		if err := json.Unmarshal([]byte(answer), &parsed); err != nil {
			tb.Fatalf("parse answer: %v", err)
		}
		if parsed.Data.Status != "running" {
			tb.Errorf("got status %q, want running", parsed.Data.Status)
		}
	}
	return status, parsed.Data.ID
}

// poll returns the answer of a status call.
func poll(t *testing.T, s *anchortest.Server, id string) string {
	t.Helper()
	_, answer, _, err := call(t, s, "GET", webTask+"/"+id+"/status", "")
	if err != nil {
		t.Fatalf("poll: %v", err)
	}
	return answer
}

// pollUntil polls until the answer contains the text.
func pollUntil(t *testing.T, s *anchortest.Server, id, text string) string {
	t.Helper()
	for t.Context().Err() == nil {
		if answer := poll(t, s, id); strings.Contains(answer, text) {
			return answer
		}
	}
	t.Fatalf("no answer contains %s", text)
	return ""
}

func body(prompt string) string {
	data, err := json.Marshal(map[string]any{"prompt": prompt, "url": "https://example.com", "async": true})
	if err != nil {
		panic(err)
	}
	return string(data)
}

func planned(plan anchortest.Plan) anchortest.Option {
	return anchortest.WithPlan(func(anchortest.Task) anchortest.Plan { return plan })
}
