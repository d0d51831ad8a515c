package pipeline_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// The bucket is deleted while a task runs.
func TestTheSessionOfALostRecordIsEnded(t *testing.T) {
	t.Parallel()
	t.Run("and its worker lives", func(t *testing.T) {
		t.Parallel()
		w := newSessionWorld(t)
		s := newStall("status")
		verdict := w.start(s, w.request(body(""))(1))
		w.loseRecords()
		close(s.resume)
		if err := <-verdict; err != nil {
			t.Fatal(err)
		}
		ev := w.wantOneEvent(success, 1)
		w.wantEnded(ev)
		if log := w.wantSessions(1)[0]; ev.SessionID != log.ID {
			t.Errorf("got session %s, want %s", ev.SessionID, log.ID)
		}
	})
	for _, policy := range []task.OnUnknown{task.Fail, task.Fence} {
		t.Run("and its worker dies, "+string(policy), func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			w.sessions = true
			deliver := w.request(w.planned(anchortest.Plan{Run: time.Hour}, `,"on_unknown_submission":"`+string(policy)+`"`))
			w.die("w1", &death{step: "status"}, deliver(1))
			w.loseRecords()
			w.finish("w2", deliver(2))
			w.wantOneEvent(task.SubmissionUnknown, 1)
			w.wantSessions(1)
		})
	}
}

// The request kills each worker that ends its session. Its last one is ended without reading the request.
func TestTheSessionOfAPoisonedTaskIsEnded(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	deliver := w.request(w.planned(anchortest.Plan{Block: true}, ""))
	w.die("w0", &death{step: "status"}, deliver(1))
	w.api.ReleaseAll() // the workflow ends, so no status call is a step forward
	n := uint64(2)
	for ; n <= poisonedAfter; n++ {
		w.die("w1", &death{step: "end session"}, deliver(n))
	}
	rec, err := w.records().Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	w.finish("w2", deliver(n))
	ev := w.wantOneEvent(task.Poisoned, 1)
	w.wantSessions(1)
	if ev.SessionID != rec.SessionID || ev.SessionEnded == nil || !*ev.SessionEnded || ev.Steps == nil || ev.Credits == nil {
		t.Errorf("got session %q (ended: %v, steps: %v, credits: %v), want %q, its end and what it used",
			ev.SessionID, ev.SessionEnded, ev.Steps, ev.Credits, rec.SessionID)
	}
}

// A worker has lost a task without knowing it, and another has begun the next run. The session of that is not the first
// worker's to end.
func TestAWorkerThatHasLostATaskLeavesItsSessionsAlone(t *testing.T) {
	for name, s := range map[string]stall{
		"lost while it ended its session":     {step: "end session", after: true},
		"lost right before it lists the rest": {step: "list sessions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.reached, s.resume = make(chan struct{}), make(chan struct{})
			leavesSessionsAlone(t, s)
		})
	}
}

// leavesSessionsAlone lets a worker stall, and another one take its task over meanwhile.
func leavesSessionsAlone(t *testing.T, s stall) {
	t.Helper()
	w := newSessionWorld(t)
	w.retryWait = 10 * time.Millisecond
	deliver := w.request(w.planned(anchortest.Plan{Fails: 1, Run: 30 * time.Millisecond}, `,"retries":1`))
	w.die("w0", &death{step: "create session"}, deliver(1))
	slow := deliver(2)
	slow.LeaseExpired = func() bool { return true }
	verdict := w.start(s, slow)
	other := newStall("submit")
	other.after = true
	otherVerdict := make(chan error, 1)
	go func() {
		runs := 0
		second := stepFunc(func(step string, act func() error) error {
			if step == "submit" {
				runs++
			}
			if runs == 1 { // of this worker: the second one of the task
				return other.do(step, act)
			}
			return act()
		})
		otherVerdict <- handle(t.Context(), w.worker("w2", second), deliver(3))
	}()
	<-other.reached
	close(s.resume)
	if err := <-verdict; err == nil {
		t.Error("the first worker finished the task")
	}
	if log := w.api.Sessions()[1]; !log.Ended.IsZero() {
		t.Errorf("got %+v, want the session of the second run open", log)
	}
	close(other.resume)
	if err := <-otherVerdict; err != nil {
		t.Fatal(err)
	}
	w.wantEnded(w.wantOneEvent(success, 2))
	w.wantSessions(2)
}

// A panic in a call about a session is the task's, as any other.
func TestAPanicWhileASessionIsEndedIsTheTasks(t *testing.T) {
	t.Parallel()
	w := newSessionWorld(t)
	deliver := w.request(body(""))
	p := w.worker("w1", before("end session", func() { panic(errPanicked) }))
	if err := handle(t.Context(), p, deliver(1)); !errors.Is(err, errPanicked) {
		t.Errorf("got %v, want the panic of the call", err)
	}
	w.finish("w2", deliver(2))
	w.wantEnded(w.wantOneEvent(success, 1))
}

// Ending a session may take longer than other workers wait for the owner of a lost record.
func TestALostRecordIsWrittenAgainWhileASessionIsEnded(t *testing.T) {
	for _, step := range []string{"end session", "list sessions"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newSessionWorld(t)
			deliver := w.request(body(""))
			w.die("w0", &death{step: "create session"}, deliver(1)) // then sessions are listed as well
			slow, verdict := newStall(step), make(chan error, 1)
			p := w.worker("w1", slow)
			go func() { verdict <- handle(t.Context(), p, deliver(2)) }()
			<-slow.reached
			w.loseRecords()
			p.RecordsLost()
			natstest.Eventually(t, w.runs)
			close(slow.resume)
			if err := <-verdict; err != nil {
				t.Fatal(err)
			}
			w.wantOneEvent(success, 1)
		})
	}
}

// The link of the live view gives control. It is on the record while the task runs, and nowhere else.
func TestTheLiveViewIsOnlyOnTheRecordOfARunningTask(t *testing.T) {
	t.Parallel()
	const link = "/live?sessionId="
	for _, on := range []bool{true, false} {
		t.Run(map[bool]string{true: "on", false: "off"}[on], func(t *testing.T) {
			t.Parallel()
			var logged strings.Builder
			w := newSessionWorld(t)
			w.liveView, w.keepFailed, w.log = on, true, zerolog.New(zerolog.SyncWriter(&logged))
			running := ""
			worker := before("status", func() { running = w.storedRecord() })
			request := w.planned(anchortest.Plan{Error: "no", Run: 30 * time.Millisecond}, "")
			if err := handle(t.Context(), w.worker("w1", worker), w.request(request)(1)); err != nil {
				t.Fatal(err)
			}
			w.wantOneEvent(task.WorkflowFailed, 1)
			if strings.Contains(running, link) != on || !strings.Contains(running, `"state":"running"`) {
				t.Errorf("got the record %s, want the link: %v", running, on)
			}
			letters := w.stored(w.dead.Stream)
			if len(letters) != 1 {
				t.Fatalf("got %d dead letters, want 1", len(letters))
			}
			event, letter := w.messages()[0], letters[0]
			headers, err := json.Marshal([]any{event.Header, letter.Header})
			if err != nil {
				t.Fatal(err)
			}
			for where, text := range map[string]string{
				"record": w.storedRecord(), "event": string(event.Data), "dead letter": string(letter.Data), "headers": string(headers), "log": logged.String(),
			} {
				if strings.Contains(text, "live") || text == "" {
					t.Errorf("%s: got %s, want it without a live view", where, text)
				}
			}
		})
	}
}
