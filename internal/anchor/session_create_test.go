package anchor_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// startSessions starts a stand-in in which the calls about all sessions meet the same faults.
func startSessions(t *testing.T, plan anchortest.SessionPlan, opts ...anchortest.Option) (*anchortest.Server, *anchor.Client) {
	t.Helper()
	opts = append(opts, anchortest.WithSessionPlan(func([]string) anchortest.SessionPlan { return plan }))
	api := anchortest.New(opts...)
	if err := api.Start("127.0.0.1:0"); err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(api.Close)
	return api, newClientOf(t, api)
}

var oneTag = task.SessionRequest{Tags: []string{"capstan-task:a"}}

// create creates a session and returns its id.
func create(t *testing.T, client *anchor.Client) string {
	t.Helper()
	session, err := client.CreateSession(t.Context(), oneTag)
	if err != nil {
		t.Fatalf("create session: %v", err)
	}
	return session.ID
}

func TestACreatedSessionHasItsTagsAndTimes(t *testing.T) {
	t.Parallel()
	var sent, target string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		sent, target = string(body), r.Method+" "+r.URL.String()
		_, _ = io.WriteString(w, `{"data":{"id":"s-1","cdp_url":"wss://x.example?apiKey=k","live_view_url":"https://live.example/s-1"}}`)
	})
	session, err := newClient(t, config(server.URL)).CreateSession(t.Context(), task.SessionRequest{
		Tags: []string{"capstan"}, MaxDuration: time.Hour, Browser: json.RawMessage(`{"headless":{"active":true}}`),
	})
	if err != nil || session.ID != "s-1" || string(session.LiveView) != "https://live.example/s-1" {
		t.Errorf("got %v and error %v, want the session and its live view", session, err)
	}
	if got := fmt.Sprintf("%v %+v", session, session.LiveView); strings.Contains(got, "live.example") {
		t.Errorf("got %s, want the link hidden", got)
	}
	if target != "POST /v1/sessions" {
		t.Errorf("got %s, want POST /v1/sessions", target)
	}
	if want := `{"browser":{"headless":{"active":true}},"session":{"tags":["capstan"],"timeout":{"max_duration":60}}}`; sent != want {
		t.Errorf("got %s, want %s", sent, want)
	}
}

// After each fault the client says what is known, and the stand-in whether there is a session.
func TestACreationSaysWhetherThereIsASession(t *testing.T) {
	t.Parallel()
	header := func(status int, name, value string) anchortest.Fault {
		return anchortest.Fault{Status: status, Header: map[string]string{name: value}}
	}
	for name, c := range map[string]struct {
		fault anchortest.Fault
		kind  task.SubmitErrorKind // 0: no error
		why   task.Reason
		wait  time.Duration
		made  int
	}{
		"no fault":               {anchortest.Fault{}, 0, "", 0, 1},
		"a byte order mark":      {anchortest.BOM(), 0, "", 0, 1},
		"text behind the answer": {anchortest.Fault{Suffix: " behind"}, 0, "", 0, 1},
		"400":                    {anchortest.Answer(400), task.Refused, "", 0, 0},
		"404":                    {anchortest.Answer(404), task.Refused, "", 0, 0},
		"redirect":               {anchortest.Redirect("http://example.invalid/"), task.Refused, "", 0, 0},
		"401":                    {anchortest.Answer(401), task.NotNow, task.Unauthorized, 0, 0},
		"402":                    {anchortest.Answer(402), task.NotNow, task.NoCredits, 0, 0},
		"403":                    {anchortest.Answer(403), task.NotNow, task.Forbidden, 0, 0},
		"408":                    {anchortest.Answer(408), task.NotNow, task.Unready, 0, 0},
		"429":                    {anchortest.RateLimited(58), task.NotNow, task.RateLimited, 58 * time.Second, 0},
		"429 by RateLimit":       {header(429, "RateLimit", `"5-in-1min"; r=0; t=3`), task.NotNow, task.RateLimited, 3 * time.Second, 0},
		"503 with Retry-After":   {anchortest.Unavailable(7), task.NotNow, task.Unavailable, 7 * time.Second, 0},
		"a gateway's 404":        {anchortest.HTML(404), task.NotNow, task.NotTheAPI, 0, 0},
		"an ingress":             {anchortest.NoBackend(), task.NotNow, task.NotTheAPI, 0, 0},
		"500":                    {anchortest.Answer(500), task.Unknown, "", 0, 0},
		"500, created":           {anchortest.Answer(500).ButAccepted(), task.Unknown, "", 0, 1},
		"502 page, created":      {anchortest.HTML(502).ButAccepted(), task.Unknown, "", 0, 1},
		"503":                    {anchortest.Answer(503), task.Unknown, "", 0, 0},
		"lost request":           {anchortest.Reset(), task.Unknown, "", 0, 0},
		"lost answer":            {anchortest.Reset().ButAccepted(), task.Unknown, "", 0, 1},
		"cut answer":             {anchortest.Fault{Cut: true}, task.Unknown, "", 0, 1},
		"no id":                  {anchortest.NoID().ButAccepted(), task.Unknown, "", 0, 1},
		"garbage":                {anchortest.Garbage().ButAccepted(), task.Unknown, "", 0, 1},
		"too large":              {anchortest.Large(2 << 20), task.Unknown, "", 0, 0},
		"switching protocols":    {anchortest.Switching(), task.Unknown, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, client := startSessions(t, anchortest.SessionPlan{Create: []anchortest.Fault{c.fault}})
			session, err := client.CreateSession(t.Context(), oneTag)
			if got := len(api.Sessions()); got != c.made {
				t.Errorf("got %d sessions, want %d", got, c.made)
			}
			if c.kind == 0 {
				if err != nil || session.ID != api.Sessions()[0].ID {
					t.Errorf("got %v and error %v, want the session", session, err)
				}
				return
			}
			e := submitError(t, err)
			if e.Kind != c.kind || e.Reason != c.why || e.RetryAfter != c.wait || session.ID != "" {
				t.Errorf("got %v and %+v, want kind %d, reason %q, wait %v", session, e, c.kind, c.why, c.wait)
			}
		})
	}
}

func TestACreationThatTakesTooLongIsUnknown(t *testing.T) {
	t.Parallel()
	api, _ := startSessions(t, anchortest.SessionPlan{Create: []anchortest.Fault{anchortest.Hang().ButAccepted()}})
	cfg := config(api.URL())
	cfg.APIKey, cfg.RequestTimeout = anchor.Secret(api.Key()), 200*time.Millisecond
	client := newClient(t, cfg)
	_, err := client.CreateSession(t.Context(), oneTag)
	if e := submitError(t, err); e.Kind != task.Unknown || !strings.Contains(e.Message, "no complete answer within 200ms") {
		t.Errorf("got %+v, want an unknown outcome", e)
	}
	if got, err := client.FindSessions(t.Context(), "capstan-task:a"); err != nil || len(got) != 1 {
		t.Errorf("got %v and error %v, want the session that was lost", got, err)
	}
}

func TestACreationThatNeverLeftIsKnown(t *testing.T) {
	t.Parallel()
	api, client := startSessions(t, anchortest.SessionPlan{})
	api.Close()
	_, err := client.CreateSession(t.Context(), oneTag)
	if e := submitError(t, err); e.Kind != task.NotNow || e.Reason != task.Unreachable {
		t.Errorf("got %+v, want an API that cannot be reached", e)
	}
	_, err = client.CreateSession(t.Context(), task.SessionRequest{Session: json.RawMessage(`[]`)})
	if e := submitError(t, err); e.Kind != task.Refused || e.HTTPStatus != 0 || !strings.Contains(e.Message, "session must be a JSON object") {
		t.Errorf("got %+v, want the request to be refused without a call", e)
	}
}

func TestCreationsSayHowManyMoreTheAPIAccepts(t *testing.T) {
	t.Parallel()
	noted := make(chan task.Starts, 2)
	api, _ := startSessions(t, anchortest.SessionPlan{}, anchortest.WithStartRate(anchortest.StartRate{Quota: 1, Window: time.Minute}))
	cfg := config(api.URL())
	cfg.APIKey = anchor.Secret(api.Key())
	client := newClient(t, cfg, anchor.WithStarts(func(s task.Starts) { noted <- s }))
	_ = create(t, client)
	_, err := client.CreateSession(t.Context(), oneTag)
	if e := submitError(t, err); e.HTTPStatus != 429 || !e.StartRate {
		t.Errorf("got %+v, want a 429 about the rate", e)
	}
	for range 2 {
		if got := <-noted; got.Remaining != 0 || got.Quota != 1 || got.Window != time.Minute {
			t.Errorf("got %+v, want what remains of one session a minute", got)
		}
	}
}
