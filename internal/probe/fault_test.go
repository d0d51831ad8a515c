package probe_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor"
	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/probe"
)

// faulty returns a stand-in in which the calls about all sessions meet the same faults.
func faulty(t *testing.T, plan anchortest.SessionPlan, opts ...anchortest.Option) *anchortest.Server {
	t.Helper()
	return startAPI(t, append(opts, anchortest.WithSessionPlan(func([]string) anchortest.SessionPlan { return plan }))...)
}

func TestSessionsAreEndedWhereverAProbeIsInterrupted(t *testing.T) {
	t.Parallel()
	for stopAfter := range 13 {
		t.Run(fmt.Sprint(stopAfter), func(t *testing.T) {
			t.Parallel()
			api := startAPI(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			count := 0
			got := run(ctx, t, api, quick(), func() {
				count++
				if count > stopAfter {
					cancel()
				}
			})
			if open := openSessions(api); len(open) > 0 {
				t.Errorf("got the sessions %v open, want none", open)
			}
			if c := got.conclusion; stopAfter < 12 && (c.Fence || !strings.Contains(c.Text, "(not looked at)")) || stopAfter < 11 && c.Sessions {
				t.Errorf("got %+v, want what is missing to count", c)
			}
			if verdict, seen := got.verdict("clean-up"); stopAfter > 0 && verdict != probe.Fine {
				t.Errorf("got %s, %q, want the clean-up", verdict, seen)
			}
		})
	}
}

// An answer that is on its way when Ctrl-C is pressed names a session that must be ended.
func TestASessionThatIsBeingCreatedIsEnded(t *testing.T) {
	t.Parallel()
	plan := anchortest.SessionPlan{Create: []anchortest.Fault{{After: 200 * time.Millisecond}}}
	api := faulty(t, plan, anchortest.WithSessionRules(anchortest.SessionRules{ListLag: time.Hour})) // so that only the answer names it
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	run(ctx, t, api, soon(func(w *probe.Waits) { w.List = 50 * time.Millisecond }), func() { time.AfterFunc(50*time.Millisecond, cancel) })
	if got := api.Sessions(); len(got) != 1 || got[0].Cause != "deleted" {
		t.Errorf("got %+v, want a session that was ended", got)
	}
}

func TestASessionWhoseCreationIsLostIsFoundAndEnded(t *testing.T) {
	t.Parallel()
	plan := anchortest.SessionPlan{Create: []anchortest.Fault{anchortest.Reset().ButAccepted()}}
	api := faulty(t, plan, anchortest.WithSessionRules(anchortest.SessionRules{ListLag: 100 * time.Millisecond}))
	got := run(t.Context(), t, api, quick(), nil)
	if len(api.Sessions()) != 1 || len(openSessions(api)) != 0 {
		t.Errorf("got %+v, want one session, ended", api.Sessions())
	}
	if verdict, _ := got.verdict("new session"); verdict != probe.Unknown || got.conclusion.Sessions {
		t.Errorf("got %s and %+v, want an unknown outcome", verdict, got.conclusion)
	}
	if verdict, seen := got.verdict("clean-up"); verdict != probe.Fine {
		t.Errorf("got %s, %q, want the session found", verdict, seen)
	}
}

func TestASessionThatMayBeOpenIsNamed(t *testing.T) {
	t.Parallel()
	waits := soon(func(w *probe.Waits) { w.List, w.End = 50*time.Millisecond, 50*time.Millisecond })
	lost := faulty(t, anchortest.SessionPlan{Create: []anchortest.Fault{anchortest.Reset()}})
	if verdict, seen := run(t.Context(), t, lost, waits, nil).verdict("clean-up"); verdict != probe.Unknown || !strings.Contains(seen, "at most 20m0s") {
		t.Errorf("got %s, %q, want that a session may be open", verdict, seen)
	}
	stuck := faulty(t, anchortest.SessionPlan{End: []anchortest.Fault{anchortest.Answer(500).Repeated(-1)}})
	got := run(t.Context(), t, stuck, waits, nil)
	verdict, seen := got.verdict("clean-up")
	for _, s := range stuck.Sessions() {
		if verdict != probe.Bad || !strings.Contains(seen, s.ID) || got.conclusion.Sessions {
			t.Errorf("got %s, %q, want %s named", verdict, seen, s.ID)
		}
	}
	if verdict, seen := got.verdict("end of a session"); verdict != probe.Bad || !strings.Contains(seen, "did not confirm the end within 50ms: 500") {
		t.Errorf("got %s, %q, want an end that is not confirmed", verdict, seen)
	}
}

func TestOneFailedCallDoesNotChangeTheVerdict(t *testing.T) {
	t.Parallel()
	lostEnd, once := anchortest.Reset().ButAccepted(), anchortest.Answer(500)
	for name, plan := range map[string]anchortest.SessionPlan{
		"end":      {End: []anchortest.Fault{once}},
		"lost end": {End: []anchortest.Fault{lostEnd}},
		"get":      {Get: []anchortest.Fault{once}},
		"list":     {List: []anchortest.Fault{once}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := faulty(t, plan, anchortest.WithSessionRules(anchortest.SessionRules{EndedDelete: 404}))
			if got := run(t.Context(), t, api, quick(), nil); !got.conclusion.Fence || len(openSessions(api)) > 0 {
				t.Errorf("got %+v, want it fine", got)
			}
		})
	}
}

func TestAnAccountThatCreatesNoSessionIsToldWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		api  *anchortest.Server
		want probe.Verdict
		seen string
	}{
		"refused":      {faulty(t, anchortest.SessionPlan{Create: []anchortest.Fault{anchortest.Answer(400)}}), probe.Bad, "not created: 400"},
		"a full plan":  {startAPI(t, anchortest.WithMaxRunning(0)), probe.Unknown, "429: too many concurrent browsers"},
		"full by then": {faulty(t, anchortest.SessionPlan{Create: []anchortest.Fault{{}, anchortest.RateLimited(9)}}), probe.Unknown, "not created: 429"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := run(t.Context(), t, c.api, quick(), nil)
			if verdict, seen := got.verdict("new session"); verdict != c.want || !strings.Contains(seen, c.seen) || got.conclusion.Sessions {
				t.Errorf("got %s, %q and %+v, want %s, %q", verdict, seen, got.conclusion, c.want, c.seen)
			}
			if len(openSessions(c.api)) > 0 {
				t.Error("got an open session")
			}
		})
	}
}

func TestMistakesInTheSettingsAreNamed(t *testing.T) {
	t.Parallel()
	_, err := probe.New(anchor.Config{BaseURL: "https://api.example", RequestTimeout: time.Second}, "1.2.3", quick())
	if err == nil || !strings.Contains(err.Error(), "set ANCHORBROWSER_API_KEY") {
		t.Errorf("got %v, want the missing key", err)
	}
}
