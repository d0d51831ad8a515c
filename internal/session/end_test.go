package session_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestACreationPassesEverythingOn(t *testing.T) {
	t.Parallel()
	w := start(t, anchortest.SessionRules{}, anchortest.SessionPlan{Create: []anchortest.Fault{anchortest.RateLimited(7)}})
	request := task.SessionRequest{Tags: []string{"x", taskTag}, ReadOnlyView: true}
	_, err := w.Create(t.Context(), request)
	if failure, ok := errors.AsType[*task.SubmitError](err); !ok || failure.Kind != task.NotNow || failure.RetryAfter != 7*time.Second {
		t.Errorf("got %v, want the API's 429 as it came", err)
	}
	created, err := w.Create(t.Context(), request)
	if err != nil || created.LiveView == "" {
		t.Fatalf("got %v, %v, want a session with its live view", created, err)
	}
	if log := w.log(created.ID); strings.Join(log.Tags, " ") != "x "+taskTag {
		t.Errorf("got the tags %v", log.Tags)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Create(ctx, request)
	if failure, ok := errors.AsType[*task.SubmitError](err); !ok || failure.Kind != task.NotNow {
		t.Errorf("got %v, want a session that was certainly not created", err)
	}
}

// Whatever the API answers to a session that runs, has ended or is not known, only its own word counts.
func TestASessionCountsAsEndedOnlyByTheAPIsWord(t *testing.T) {
	t.Parallel()
	always := func(f anchortest.Fault) []anchortest.Fault { return []anchortest.Fault{f.Repeated(-1)} }
	once := func(f anchortest.Fault) []anchortest.Fault { return []anchortest.Fault{f} }
	known, forgets := anchortest.SessionRules{}, anchortest.SessionRules{Forget: true}
	endedAs := func(status int) anchortest.SessionRules { return anchortest.SessionRules{EndedDelete: status} }
	unknownAs := func(status int) anchortest.SessionRules {
		return anchortest.SessionRules{Forget: true, UnknownDelete: status}
	}
	for name, c := range map[string]struct {
		rules  anchortest.SessionRules
		end    []anchortest.Fault // strike the DELETEs
		before bool               // it has ended by itself
		get    []anchortest.Fault // strike the GETs
		why    string             // "": the end is confirmed
		steps  int                // -1: not known
	}{
		"200":                              {rules: known, steps: 1},
		"lost request":                     {rules: known, end: once(anchortest.Reset()), steps: 1},
		"lost answer":                      {rules: known, end: once(anchortest.Reset().ButAccepted()), steps: 1},
		"lost answer, then refused":        {rules: endedAs(409), end: once(anchortest.Reset().ButAccepted()), steps: 1},
		"lost answer, then unknown":        {rules: forgets, end: once(anchortest.Reset().ButAccepted()), steps: -1},
		"cut answer":                       {rules: known, end: once(anchortest.Fault{Cut: true}), steps: 1},
		"garbage":                          {rules: known, end: once(anchortest.Garbage()), steps: 1},
		"500":                              {rules: known, end: once(anchortest.Answer(500)), steps: 1},
		"503 without end":                  {rules: known, end: always(anchortest.Answer(503)), why: "503: Service Unavailable"},
		"429 with Retry-After":             {rules: known, end: once(anchortest.RateLimited(0)), steps: 1},
		"429 that asks for too long":       {rules: known, end: once(anchortest.RateLimited(60)), why: "429: Too Many Requests"},
		"a gateway's 404":                  {rules: known, end: always(anchortest.HTML(404)), why: "404: "},
		"a gateway's 404 to both":          {rules: known, end: always(anchortest.HTML(404)), get: always(anchortest.HTML(404)), why: "404: "},
		"401 while it runs":                {rules: known, end: always(anchortest.Answer(401)), why: "401: Unauthorized"},
		"401 to both":                      {rules: known, end: always(anchortest.Answer(401)), get: always(anchortest.Answer(401)), why: "401: Unauthorized"},
		"403 while it runs":                {rules: known, end: always(anchortest.Answer(403)), why: "403: Forbidden"},
		"400 while it runs":                {rules: known, end: always(anchortest.Answer(400)), why: "400: Bad Request"},
		"ended by itself, 200":             {rules: known, before: true, steps: 1},
		"ended by itself, 400":             {rules: endedAs(400), before: true, steps: 1},
		"ended by itself, 403":             {rules: endedAs(403), before: true, steps: 1},
		"ended by itself, 404":             {rules: endedAs(404), before: true, steps: 1},
		"ended by itself, 410":             {rules: endedAs(410), before: true, steps: 1},
		"ended by itself, 422":             {rules: endedAs(422), before: true, steps: 1},
		"ended by itself, 500":             {rules: endedAs(500), before: true, steps: 1},
		"ended by itself and unknown, 401": {rules: forgets, before: true, steps: -1},
		"ended by itself and unknown, 404": {rules: unknownAs(404), before: true, steps: -1},
		"unknown, but who is asked fails":  {rules: forgets, before: true, get: once(anchortest.Answer(500)), steps: -1},
		"figures cannot be had":            {rules: known, get: once(anchortest.Answer(500)), steps: -1},
		"figures are null":                 {rules: anchortest.SessionRules{FiguresDelay: time.Hour, FiguresNull: true}, steps: -1},
		"figures are not there yet":        {rules: anchortest.SessionRules{FiguresDelay: time.Hour}, steps: 0},
		"figures are words":                {rules: known, get: once(anchortest.Fault{Body: `{"data":{"status":"completed","steps":"N/A","credits_used":"N/A"}}`}), steps: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, c.rules, anchortest.SessionPlan{End: c.end, Get: c.get})
			id := w.open()
			w.run(id)
			if c.before {
				w.api.EndSession(id)
			}
			end, err := w.End(t.Context(), id)
			if err != nil || end.Confirmed != (c.why == "") || !strings.HasPrefix(end.Why, c.why) || end.Final {
				t.Fatalf("got %+v, %v, want confirmed or %q", end, err, c.why)
			}
			if c.why != "" {
				c.steps = -1
			} else {
				w.wantOpen()
			}
			if got := steps(end); got != c.steps || (end.Credits != nil) != (c.steps >= 0) {
				t.Errorf("got %d steps and the credits %v, want %d steps", got, end.Credits, c.steps)
			}
		})
	}
}

// A session that was never known is gone. A wrong key gets the same answer to DELETE, and is not that.
func TestAnUnknownSessionIsToldFromAWrongKey(t *testing.T) {
	t.Parallel()
	w := start(t, anchortest.SessionRules{}, anchortest.SessionPlan{})
	const id = "3f0e7c1e-5d3b-4b0e-9d57-0c8f0a7f5f11"
	if end, err := w.End(t.Context(), id); err != nil || !end.Confirmed || end.Steps != nil {
		t.Errorf("got %+v, %v, want a confirmed end", end, err)
	}
	if gone, err := w.Gone(t.Context(), id); !gone || err != nil {
		t.Errorf("got %v, %v, want it gone", gone, err)
	}
	w.api.SetKey("another")
	if end, err := w.End(t.Context(), id); err != nil || end.Confirmed || !strings.HasPrefix(end.Why, "401: ") {
		t.Errorf("with a wrong key: got %+v, %v, want no confirmation", end, err)
	}
	if gone, err := w.Gone(t.Context(), id); gone || err == nil {
		t.Errorf("with a wrong key: got %v, %v, want it unclear", gone, err)
	}
}

func TestASessionIsGoneOnceItHasEnded(t *testing.T) {
	t.Parallel()
	page := []anchortest.Fault{anchortest.HTML(http.StatusNotFound)}
	w := start(t, anchortest.SessionRules{}, anchortest.SessionPlan{Get: page})
	id := w.open()
	if gone, err := w.Gone(t.Context(), id); gone || err != nil { // a gateway answers first, and then the API: it runs
		t.Errorf("got %v, %v, want a session that runs", gone, err)
	}
	w.api.EndSession(id)
	if gone, err := w.Gone(t.Context(), id); !gone || err != nil {
		t.Errorf("got %v, %v, want it gone", gone, err)
	}
}

// A drain ends a call that hangs at once, whichever it is.
func TestTheEndOfTheContextEndsEachCall(t *testing.T) {
	t.Parallel()
	hang := []anchortest.Fault{anchortest.Hang().Repeated(-1)}
	end := func(ctx context.Context, w *world, id string) error { _, err := w.End(ctx, id); return err }
	fence := func(ctx context.Context, w *world, id string) error { _, err := w.Fence(ctx, id); return err }
	tagged := func(ctx context.Context, w *world, _ string) error { return w.endTagged(ctx, taskTag) }
	for name, c := range map[string]struct {
		plan anchortest.SessionPlan
		call func(context.Context, *world, string) error
	}{
		"end":                  {anchortest.SessionPlan{End: hang}, end},
		"end, figures":         {anchortest.SessionPlan{Get: hang}, end},
		"fence":                {anchortest.SessionPlan{End: hang}, fence},
		"fence, figures":       {anchortest.SessionPlan{Get: append([]anchortest.Fault{{}}, hang...)}, fence},
		"tagged, list":         {anchortest.SessionPlan{List: hang}, tagged},
		"tagged, end":          {anchortest.SessionPlan{End: hang}, tagged},
		"end, wait for a call": {anchortest.SessionPlan{End: []anchortest.Fault{anchortest.RateLimited(60)}}, end},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, anchortest.SessionRules{}, c.plan)
			id := w.open(taskTag)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := c.call(ctx, w, id)
			if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > waits.End*3/4 {
				t.Errorf("got %v after %v, want the end of the context at once", err, took)
			}
		})
	}
}
