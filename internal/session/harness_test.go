package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/session"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const taskTag = "capstan-task:a"

// waits are long enough for a few calls.
var waits = session.Waits{End: 800 * time.Millisecond, Look: 100 * time.Millisecond, Settle: 60 * time.Millisecond, Retry: 5 * time.Millisecond}

// world is the API's stand-in, and what talks to it.
type world struct {
	t      *testing.T
	api    *anchortest.Server
	client *anchor.Client
	*session.Sessions
}

// start starts a stand-in in which the calls about all sessions meet the same faults.
func start(t *testing.T, rules anchortest.SessionRules, plan anchortest.SessionPlan) *world {
	t.Helper()
	api := anchortest.New(anchortest.WithSessionRules(rules), anchortest.WithSessionPlan(func([]string) anchortest.SessionPlan { return plan }))
	if err := api.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	cfg := anchor.Config{APIKey: anchor.Secret(api.Key()), BaseURL: api.URL(), RequestTimeout: 5 * time.Second}
	client, err := anchor.New(cfg, "test", prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &world{t: t, api: api, client: client, Sessions: session.New(client, waits, rate.NewLimiter(rate.Inf, 0), zerolog.Nop())}
}

// open creates a session and returns its id.
func (w *world) open(tags ...string) string {
	w.t.Helper()
	created, err := w.Create(w.t.Context(), task.SessionRequest{Tags: tags})
	if err != nil {
		w.t.Fatal(err)
	}
	return created.ID
}

// endTagged ends the open sessions that have all of these tags.
func (w *world) endTagged(ctx context.Context, tags ...string) error {
	ids, err := w.Tagged(ctx, tags...)
	if err != nil {
		return err
	}
	return w.EndAll(ctx, ids)
}

// run starts a workflow that does not end by itself in a session. Its agent takes its first step as the rules say.
func (w *world) run(id string) {
	w.t.Helper()
	prompt, err := anchortest.Prompt("a", anchortest.Plan{Run: time.Hour})
	body, bodyErr := json.Marshal(map[string]any{"prompt": prompt, "url": "https://example.com", "async": true})
	if err := errors.Join(err, bodyErr); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.client.Submit(w.t.Context(), id, body); err != nil {
		w.t.Fatal(err)
	}
}

// log returns what became of a session.
func (w *world) log(id string) anchortest.SessionLog {
	w.t.Helper()
	for _, log := range w.api.Sessions() {
		if log.ID == id {
			return log
		}
	}
	w.t.Fatalf("no session has the id %s", id)
	return anchortest.SessionLog{}
}

// wantOpen checks which sessions are open.
func (w *world) wantOpen(want ...string) {
	w.t.Helper()
	open := map[string]bool{}
	for _, log := range w.api.Sessions() {
		if log.Ended.IsZero() {
			open[log.ID] = true
		}
	}
	for _, id := range want {
		if !open[id] {
			w.t.Errorf("session %s was ended, want it open", id)
		}
	}
	if len(open) != len(want) {
		w.t.Errorf("got %d open sessions, want %d", len(open), len(want))
	}
}

// steps returns the steps of an end, or -1 if they are not known.
func steps(end task.SessionEnd) int {
	if end.Steps == nil {
		return -1
	}
	return *end.Steps
}
