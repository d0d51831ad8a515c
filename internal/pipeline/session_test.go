package pipeline_test

import (
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestATaskRunsInASessionOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	var j journal
	var announced task.Record
	worker := stepFunc(func(step string, act func() error) error {
		if step == "submit" {
			announced, _ = w.records().Get(t.Context(), "a")
		}
		return j.do(step, act)
	})
	request := w.planned(anchortest.Plan{Run: 30 * time.Millisecond}, `,"batch":"night","session":{"tags":["mine"]}`)
	if err := handle(t.Context(), w.worker("w1", worker), w.request(request)(1)); err != nil {
		t.Fatal(err)
	}
	const want = "create, create session, save submitting, submit, save running, status, end session, look, offload, publish, save succeeded"
	if got := j.steps(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	ev, log := w.wantOneEvent(success, 1), w.wantSessions(1)[0]
	if ev.SessionID != log.ID || ev.Steps == nil || *ev.Steps != log.Steps || log.Steps == 0 || ev.Credits == nil || *ev.Credits < 0.01 {
		t.Errorf("got %+v, want the figures of %+v", ev, log)
	}
	w.wantEnded(ev)
	if announced.State != task.Submitting || announced.SessionID != log.ID {
		t.Errorf("got a record that says %s in session %q before the POST, want submitting in %s", announced.State, announced.SessionID, log.ID)
	}
	if tags := strings.Join(log.Tags, " "); !strings.HasPrefix(tags, "mine capstan capstan-task:a capstan-batch:night capstan-request:") {
		t.Errorf("got the tags %s", tags)
	}
	rec, err := w.records().Get(t.Context(), "a")
	if err != nil || rec.SessionID != log.ID || rec.SessionEnded == nil || *rec.SessionEnded != true || rec.Steps == nil || *rec.Steps != log.Steps {
		t.Errorf("got %+v, %v, want a record with the session", rec, err)
	}
}

// Without SESSIONS=on, and for a task that names a session, there is no call about sessions.
func TestNoSessionIsCreatedOrEndedThatIsNotCapstans(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		on   bool
		body string
	}{
		"off":                    {false, body("")},
		"off, session of a user": {false, body(`,"sessionId":"s-1"`)},
		"on, session of a user":  {true, body(`,"sessionId":"s-1"`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.sessions = c.on
			m := newMarks()
			w.steering = m
			deliver := w.request(strings.Replace(c.body, `"prompt":"a"`, `"prompt":"a plan:{\"run\":\"1h\"}"`, 1))
			w.die("w1", &death{step: "status"}, deliver(1))
			m.cancel("a", "")
			var j journal
			if err := handle(t.Context(), w.worker("w2", &j), deliver(2)); err != nil {
				t.Fatal(err)
			}
			if got := j.steps(); strings.Contains(got, "session") || strings.Contains(got, "look") {
				t.Errorf("got %s, want no call about sessions", got)
			}
			ev := w.wantOneEvent(task.Canceled, 1)
			if ev.SessionID != "" || ev.SessionEnded != nil || ev.Steps != nil || !strings.HasSuffix(ev.Error.Message, "its workflow may run on") {
				t.Errorf("got %+v, want nothing about a session", ev)
			}
			w.wantSessions(0)
		})
	}
}

// While a fleet changes to SESSIONS=on or back, its workers take over from each other.
func TestAWorkerWithoutSessionsEndsTheOneOfATaskThatItTakesOver(t *testing.T) {
	t.Parallel()
	for step, c := range map[string]struct {
		code      task.Code
		workflows int
	}{"status": {success, 1}, "submit": {task.SubmissionUnknown, 0}} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t)
			deliver := w.request(body(""))
			w.die("w1", &death{step: step}, deliver(1))
			w.sessions = false
			w.finish("w2", deliver(2))
			w.wantEnded(w.wantOneEvent(c.code, c.workflows))
			w.wantSessions(1)
		})
	}
}

func TestAWorkerWithoutSessionsRefusesATaskThatNeedsOne(t *testing.T) {
	t.Parallel()
	for field, more := range map[string]string{
		"session":               `,"session":{"tags":["a"]}`,
		"browser":               `,"browser":{}`,
		"on_unknown_submission": `,"on_unknown_submission":"fence"`,
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			deliver := w.request(body(more))
			w.finish("w1", deliver(1))
			w.finish("w2", deliver(2))
			ev := w.wantOneEvent(task.InvalidRequest, 0)
			if want := field + ": needs workers with SESSIONS=on"; ev.Error.Message != want {
				t.Errorf("got %q, want %q", ev.Error.Message, want)
			}
			if got := w.stream(w.dead.Stream).CachedInfo().State.Msgs; got != 1 {
				t.Errorf("got %d dead letters, want 1", got)
			}
		})
	}
}

// Each run has its own session, and the event counts all of them.
func TestEachRetryRunsInItsOwnSession(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	w.retryWait = 10 * time.Millisecond
	w.finish("w1", w.request(w.planned(anchortest.Plan{Fails: 1}, `,"retries":2`))(1))
	ev, logs := w.wantOneEvent(success, 2), w.wantSessions(2)
	if len(ev.Runs) != 2 || ev.Runs[0].SessionID != logs[0].ID || ev.Runs[1].SessionID != logs[1].ID || ev.SessionID != logs[1].ID {
		t.Fatalf("got %+v, want a run in each session", ev)
	}
	var credits float64
	for i, run := range ev.Runs {
		if run.Steps == nil || *run.Steps != logs[i].Steps || run.Credits == nil {
			t.Fatalf("got %+v, want the figures of %+v", run, logs[i])
		}
		credits += *run.Credits
	}
	if ev.Steps == nil || *ev.Steps != logs[0].Steps+logs[1].Steps || ev.Credits == nil || *ev.Credits != credits {
		t.Errorf("got %v steps and %v credits, want those of both runs", ev.Steps, ev.Credits)
	}
	w.wantEnded(ev)
	if logs[1].Created.Before(logs[0].Ended) {
		t.Error("the second session was created before the first had ended")
	}
}
