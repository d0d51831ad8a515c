package pipeline_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/session"
	"github.com/capstan-worker/capstan/internal/task"
)

// sessionWaits are those of the workers.
var sessionWaits = session.Waits{End: 2 * time.Second, Look: 500 * time.Millisecond, Settle: 50 * time.Millisecond, Retry: 10 * time.Millisecond}

// sessionCalls are a worker's calls about sessions, with steps.
type sessionCalls struct {
	api *anchor.Client
	steps
}

func (c sessionCalls) CreateSession(ctx context.Context, request task.SessionRequest) (out task.NewSession, err error) {
	err = c.do("create session", func() (err error) { out, err = c.api.CreateSession(ctx, request); return err })
	return out, err
}

func (c sessionCalls) EndSession(ctx context.Context, id string) error {
	return c.do("end session", func() error { return c.api.EndSession(ctx, id) })
}

func (c sessionCalls) Session(ctx context.Context, id string) (out task.Session, err error) {
	err = c.do("look", func() (err error) { out, err = c.api.Session(ctx, id); return err })
	return out, err
}

func (c sessionCalls) FindSessions(ctx context.Context, tags ...string) (out []task.Session, err error) {
	err = c.do("list sessions", func() (err error) { out, err = c.api.FindSessions(ctx, tags...); return err })
	return out, err
}

// newSessionWorld is a world whose workers run each task in a session of its own.
func newSessionWorld(t *testing.T, opts ...anchortest.Option) *world {
	t.Helper()
	w := newWorld(t, opts...)
	w.sessions = true
	return w
}

// planSessions gives the calls about all sessions the same plan.
func planSessions(p anchortest.SessionPlan) anchortest.Option {
	return anchortest.WithSessionPlan(func([]string) anchortest.SessionPlan { return p })
}

// thinking is a stand-in whose agents take no step while a test runs.
func thinking() anchortest.Option {
	return anchortest.WithSessionRules(anchortest.SessionRules{FirstStep: time.Hour})
}

// wantSessions checks how many sessions were created, and that none is open. It returns what became of them.
func (w *world) wantSessions(want int) []anchortest.SessionLog {
	w.t.Helper()
	logs := w.api.Sessions()
	for _, log := range logs {
		if log.Ended.IsZero() {
			w.t.Errorf("session %s with %d calls to end it is open", log.ID, log.Deletes)
		}
	}
	if len(logs) != want {
		w.t.Fatalf("got %d sessions, want %d", len(logs), want)
	}
	return logs
}

// wantEnded checks that the event says of its session that it was ended.
func (w *world) wantEnded(ev task.Event) {
	w.t.Helper()
	if ev.SessionID == "" || ev.SessionEnded == nil || !*ev.SessionEnded {
		w.t.Errorf("got session %q, ended %v, want a session that was ended", ev.SessionID, ev.SessionEnded)
	}
}

// journal is a worker that notes its steps.
type journal struct {
	mu    sync.Mutex
	noted []string
}

func (j *journal) do(step string, act func() error) error {
	j.mu.Lock()
	j.noted = append(j.noted, step)
	j.mu.Unlock()
	return act()
}

// steps returns the steps, one for several in a row.
func (j *journal) steps() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(slices.Compact(slices.Clone(j.noted)), ", ")
}

// before is a worker for which something happens right before a step.
func before(step string, act func()) stepFunc {
	return func(at string, do func() error) error {
		if at == step {
			act()
		}
		return do()
	}
}
