package pipeline_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

func TestWhatTheAPIAnswersToTheCreationOfASessionDecidesAboutItsTask(t *testing.T) {
	t.Parallel()
	created := func(faults ...anchortest.Fault) anchortest.SessionPlan { return anchortest.SessionPlan{Create: faults} }
	for name, c := range map[string]struct {
		plan      anchortest.SessionPlan
		code      task.Code
		workflows int
		message   string
		sessions  int
	}{
		"refused":                {plan: created(anchortest.Answer(400)), code: task.Rejected, message: "the API refused its browser session: 400: Bad Request"},
		"refused for good":       {plan: created(anchortest.Answer(422)), code: task.Rejected, message: "the API refused its browser session: 422: "},
		"too many":               {plan: created(anchortest.RateLimited(1)), code: success, workflows: 1, sessions: 1},
		"busy":                   {plan: created(anchortest.Unavailable(1)), code: success, workflows: 1, sessions: 1},
		"lost request":           {plan: created(anchortest.Reset()), code: success, workflows: 1, sessions: 1},
		"lost answer":            {plan: created(anchortest.Reset().ButAccepted()), code: success, workflows: 1, sessions: 2},
		"an answer without a id": {plan: created(anchortest.NoID().ButAccepted()), code: success, workflows: 1, sessions: 2},
		"500, but created":       {plan: created(anchortest.Answer(500).ButAccepted()), code: success, workflows: 1, sessions: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t, planSessions(c.plan))
			w.finish("w1", w.request(body(""))(1))
			ev := w.wantOneEvent(c.code, c.workflows)
			if c.message != "" && !strings.HasPrefix(ev.Error.Message, c.message) {
				t.Errorf("got %q, want %q", ev.Error.Message, c.message)
			}
			if ev.Attempts != c.workflows {
				t.Errorf("got %d attempts, want %d: a creation is none", ev.Attempts, c.workflows)
			}
			w.wantSessions(c.sessions)
		})
	}
}

// The list does not have a session whose creation was lost. It is left to its idle timeout, and the task has its event.
func TestASessionThatIsNotListedIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t, planSessions(anchortest.SessionPlan{Create: []anchortest.Fault{anchortest.Reset().ButAccepted()}}),
		anchortest.WithSessionRules(anchortest.SessionRules{ListLag: time.Hour}))
	w.finish("w1", w.request(body(""))(1))
	ev, logs := w.wantOneEvent(success, 1), w.api.Sessions()
	if len(logs) != 2 || !logs[0].Ended.IsZero() || ev.SessionID != logs[1].ID || logs[1].Ended.IsZero() {
		t.Errorf("got %+v, want the second session ended", logs)
	}
}

// Two queues with one account give their tasks the same ids. A lost session is ended by its request, not by its task alone.
func TestASessionOfAnotherQueueIsLeftAlone(t *testing.T) {
	t.Parallel()
	w, other := newSessionWorld(t), newSessionWorld(t)
	other.api = w.api
	s := newStall("status")
	s.after = true
	verdict := other.start(s, other.request(other.planned(anchortest.Plan{Block: true}, ""))(1))
	<-time.After(10 * time.Millisecond) // the requests are not of the same millisecond
	deliver := w.request(w.planned(anchortest.Plan{}, ""))
	w.die("w1", &death{step: "create session", happened: true}, deliver(1))
	w.finish("w2", deliver(2))
	w.wantEnded(w.wantOneEvent(success, 2)) // one workflow is the other queue's
	if logs := w.api.Sessions(); len(logs) != 3 || !logs[0].Ended.IsZero() || logs[1].Ended.IsZero() {
		t.Errorf("got %+v, want the first session, of the other queue, open and the second ended", logs)
	}
	w.api.ReleaseAll()
	close(s.resume)
	if err := <-verdict; err != nil {
		t.Error(err)
	}
}

// A submission that is put off leaves its session for the next one, but not for so long that it may have ended by itself.
func TestASessionThatWasNotUsedIsUsedForTheNextPOST(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fresh    time.Duration
		sessions int
	}{"soon": {time.Minute, 1}, "late": {500 * time.Millisecond, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t)
			w.sessionFresh = c.fresh
			w.finish("w1", w.request(w.planned(anchortest.Plan{Submit: []anchortest.Fault{anchortest.Unavailable(1)}}, ""))(1))
			ev, logs := w.wantOneEvent(success, 1), w.wantSessions(c.sessions)
			if last := logs[c.sessions-1]; ev.SessionID != last.ID || ev.Attempts != 2 {
				t.Errorf("got session %s after %d attempts, want %s after two", ev.SessionID, ev.Attempts, last.ID)
			}
			if c.sessions == 2 && logs[1].Created.Before(logs[0].Ended) {
				t.Error("the second session was created before the first had ended")
			}
		})
	}
}

// NATS is away while the record says submitting. When it is back, the session may have ended.
func TestAPOSTIsNotSentIntoASessionThatMayHaveEnded(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	w.sessionFresh = 500 * time.Millisecond
	saved := 0
	worker := before("save submitting", func() {
		saved++
		if saved == 1 {
			<-time.After(w.sessionFresh)
		}
	})
	if err := handle(t.Context(), w.worker("w1", worker), w.request(body(""))(1)); err != nil {
		t.Fatal(err)
	}
	ev, logs := w.wantOneEvent(success, 1), w.wantSessions(2)
	if ev.Attempts != 1 || len(logs[0].Workflows) > 0 || ev.SessionID != logs[1].ID {
		t.Errorf("got %d attempts and %+v, want one POST into the second session", ev.Attempts, logs)
	}
}

// pauses returns how often the admission of the one worker has paused submissions.
func (w *world) pauses() (count float64) {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == "capstan_pauses_total" {
				count += metric.GetCounter().GetValue()
			}
		}
	}
	return count
}

// A session ends by itself right before the POST. Whatever the API answers then, the task is submitted in another one.
func TestATaskWhoseSessionHasEndedGetsAnother(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int // of the answer to the POST
		ends   int // sessions that end
		code   task.Code
	}{
		"403":       {403, 1, success},
		"401":       {401, 1, success},
		"404":       {404, 2, success},
		"400":       {400, 3, success},
		"403 again": {403, 4, task.Rejected},
		"409 again": {409, 4, task.Rejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t, anchortest.WithSessionRules(anchortest.SessionRules{TaskInEnded: c.status}))
			left := c.ends
			worker := before("submit", func() {
				left--
				if left >= 0 {
					for _, log := range w.api.Sessions() {
						w.api.EndSession(log.ID)
					}
				}
			})
			w.registry = prometheus.NewRegistry()
			if err := handle(t.Context(), w.worker("w1", worker), w.request(body(""))(1)); err != nil {
				t.Fatal(err)
			}
			if got := w.pauses(); got != 0 {
				t.Errorf("got %v pauses, want none: the answer says nothing about other tasks", got)
			}
			sessions, workflows := c.ends+1, 1
			if c.code != success {
				sessions, workflows = c.ends, 0
			}
			if ev := w.wantOneEvent(c.code, workflows); ev.Attempts != sessions {
				t.Errorf("got %d attempts, want %d", ev.Attempts, sessions)
			}
			w.wantSessions(sessions)
		})
	}
}

// The API refuses the POST and then says nothing about the session, which may be why. That must not end the task.
func TestATaskIsNotRejectedForASessionOfWhichNothingIsKnown(t *testing.T) {
	t.Parallel()
	silent := anchortest.SessionPlan{Get: []anchortest.Fault{anchortest.Answer(500).Repeated(-1)}}
	w := newSessionWorld(t, planSessions(silent))
	w.finish("w1", w.request(w.planned(anchortest.Plan{Submit: []anchortest.Fault{anchortest.Answer(400)}}, ""))(1))
	w.wantOneEvent(success, 1)
	w.wantSessions(2) // the first one was there
}

// The creation of a session may take long.
func TestATaskThatExpiresWhileItsSessionIsCreatedIsNotSubmitted(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	soon := time.Now().Add(500 * time.Millisecond)
	slow := before("create session", func() { <-time.After(time.Until(soon) + 20*time.Millisecond) })
	body := w.planned(anchortest.Plan{}, fmt.Sprintf(`,"expires_at":%q`, soon.UTC().Format(time.RFC3339Nano)))
	if err := handle(t.Context(), w.worker("w1", slow), w.request(body)(1)); err != nil {
		t.Fatal(err)
	}
	w.wantOneEvent(task.Expired, 0)
	w.wantSessions(1)
}

// The API does not confirm the end of the first session at once. It is ended with the task at last.
func TestASessionThatCouldNotBeEndedIsEndedWithItsTask(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	posts := 0
	deaf := stepFunc(func(step string, act func() error) error {
		switch {
		case step == "submit":
			posts++
			if err := act(); posts > 1 || err != nil {
				return err
			}
			return &task.SubmitError{Kind: task.Unknown, Message: "the answer was lost"}
		case step == "end session" && posts == 1:
			return &task.SessionError{HTTPStatus: 503, Message: "busy"}
		default:
			return act()
		}
	})
	if err := handle(t.Context(), w.worker("w1", deaf), w.request(body(`,"on_unknown_submission":"resubmit"`))(1)); err != nil {
		t.Fatal(err)
	}
	w.wantEnded(w.wantOneEvent(success, 2))
	w.wantSessions(2)
}

// Another worker takes the task while this one creates its session.
func TestASessionThatNoRecordNamesIsEnded(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	robbed := stepFunc(func(step string, act func() error) error {
		if step == "save submitting" {
			return task.ErrNotOwner
		}
		return act()
	})
	if err := handle(t.Context(), w.worker("w1", robbed), w.request(body(""))(1)); !errors.Is(err, task.ErrNotOwner) {
		t.Fatalf("got %v, want another owner", err)
	}
	w.wantSessions(1)
}

// A drain comes while the worker asks whether the session has ended. The task was not accepted, so the next worker submits it.
func TestAShutdownDoesNotRejectATaskWhoseSessionMayHaveEnded(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t, planSessions(anchortest.SessionPlan{Get: []anchortest.Fault{anchortest.Hang()}}))
	deliver := w.request(w.planned(anchortest.Plan{Submit: []anchortest.Fault{anchortest.Answer(400)}}, ""))
	w.drain("w1", "look", deliver(1))
	if rec, err := w.records().Get(t.Context(), "a"); err != nil || rec.State != task.Waiting {
		t.Errorf("got %+v, %v, want a waiting task", rec, err)
	}
	w.finish("w2", deliver(2))
	w.wantEnded(w.wantOneEvent(success, 1))
	w.wantSessions(2)
}
