package pipeline_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// letters returns the dead letters.
func (w *world) letters() []*jetstream.RawStreamMsg {
	w.t.Helper()
	return w.stored(w.dead.Stream)
}

func TestTheRequestOfAFailedTaskIsKeptWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keepFailed = true
	plan := anchortest.Plan{State: "FAILED", Error: "no such page"}
	w.finish("w1", w.request(w.planned(plan, `,"batch":"night","secret_values":{"PIN":"pin-of-the-shop"}`))(1))
	w.wantOneEvent(task.WorkflowFailed, 1)
	letters := w.letters()
	if len(letters) != 1 {
		t.Fatalf("got %d dead letters, want 1", len(letters))
	}
	for name, want := range map[string]string{
		"Capstan-Task-Id": "a", "Capstan-Code": "workflow_failed", "Capstan-Host": "example.com", "Capstan-Batch": "night",
		"Capstan-Reason": "the workflow failed: no such page",
	} {
		if got := letters[0].Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if want := w.planned(plan, `,"batch":"night","secret_values":{"PIN":"[redacted:PIN]"}`); string(letters[0].Data) != want {
		t.Errorf("got %s, want %s", letters[0].Data, want)
	}
}

// What is kept depends on DEAD_KEEP. A success is never kept.
func TestWhichRequestsAreKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more           string
		plan           anchortest.Plan
		failed, always int // dead letters that are kept with DEAD_KEEP=failed, and with invalid
	}{
		"success":         {"", anchortest.Plan{}, 0, 0},
		"workflow_failed": {"", anchortest.Plan{Fails: 9}, 1, 0},
		"expired":         {`,"expires_at":"2020-01-01T00:00:00Z"`, anchortest.Plan{}, 1, 0},
		"invalid_request": {`,"max_steps":0`, anchortest.Plan{}, 1, 1},
	} {
		for keep, want := range map[bool]int{true: c.failed, false: c.always} {
			t.Run(fmt.Sprintf("%s, failed %v", name, keep), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.keepFailed = keep
				w.finish("w1", w.request(w.planned(c.plan, c.more))(1))
				if got := len(w.letters()); got != want {
					t.Errorf("got %d dead letters, want %d", got, want)
				}
			})
		}
	}
}

// A request whose task id was used with other content is kept, too.
func TestARequestUnderAUsedIDIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.finish("w1", w.request(body(""))(1))
	w.finish("w1", w.request(body(`,"max_steps":3`))(1))
	letters := w.letters()
	if len(letters) != 1 || letters[0].Header.Get("Capstan-Code") != "duplicate_task" || string(letters[0].Data) != body(`,"max_steps":3`) {
		t.Errorf("got %d dead letters, want the second request", len(letters))
	}
}

func TestWhereverAWorkerDiesAFailedRequestIsKeptOnce(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"publish", "dead-letter", "save failed"} {
		for _, happened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, happened %v", step, happened), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.keepFailed = true
				deliver := w.request(w.planned(anchortest.Plan{Fails: 9}, ""))
				w.die("w1", &death{step: step, happened: happened}, deliver(1))
				w.finish("w2", deliver(2))
				w.finish("w3", deliver(3))
				w.wantOneEvent(task.WorkflowFailed, 1)
				if got := len(w.letters()); got != 1 {
					t.Errorf("got %d dead letters, want 1", got)
				}
			})
		}
	}
}

// The record is lost as well, so that only the event tells that the task has ended.
func TestAFailedRequestIsKeptThoughItsWorkerDiedAndItsRecordIsLost(t *testing.T) {
	t.Parallel()
	for _, happened := range []bool{false, true} {
		t.Run(fmt.Sprintf("happened %v", happened), func(t *testing.T) {
			t.Parallel()
			w := newAgedWorld(t)
			w.keepFailed = true
			deliver := w.request(w.planned(anchortest.Plan{Fails: 9}, ""))
			w.die("w1", &death{step: "dead-letter", happened: happened}, deliver(1))
			w.loseRecords()
			w.finish("w2", deliver(2))
			w.finish("w3", deliver(3))
			w.wantOneEvent(task.WorkflowFailed, 1)
			letters := w.letters()
			if len(letters) != 1 {
				t.Fatalf("got %d dead letters, want 1", len(letters))
			}
			if got := letters[0].Header.Get("Capstan-Reason"); got == "" {
				t.Errorf("got no reason in %v, want one", letters[0].Header)
			}
		})
	}
}

// An operator may have removed the request while its task ran.
func TestATaskWhoseRequestIsGoneEndsWithoutADeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keepFailed = true
	s := newStall("publish")
	verdict := w.start(s, w.request(w.planned(anchortest.Plan{Fails: 9}, ""))(1))
	must(t, w.stream("TASKS").Purge(t.Context()))
	close(s.resume)
	must(t, <-verdict)
	w.wantOneEvent(task.WorkflowFailed, 1)
	if got := len(w.letters()); got != 0 {
		t.Errorf("got %d dead letters, want none", got)
	}
}

// A stream of dead letters that is full must not stop the queue: the event of the task is stored.
func TestAFullStreamOfDeadLettersDoesNotHoldATask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.keepFailed = true
	cfg := w.stream(w.dead.Stream).CachedInfo().Config
	cfg.MaxMsgs, cfg.Discard = 1, jetstream.DiscardNew
	_, err := w.js.UpdateStream(t.Context(), cfg)
	must(t, err)
	_, err = w.js.Publish(t.Context(), w.dead.Subject, []byte("x"))
	must(t, err)
	w.finish("w1", w.request(w.planned(anchortest.Plan{Fails: 9}, ""))(1))
	w.wantOneEvent(task.WorkflowFailed, 1)
	if rec, err := w.records().Get(t.Context(), "a"); err != nil || rec.State != task.Failed {
		t.Errorf("got %+v, %v, want a record that has ended", rec, err)
	}
}

// A request may name the worker's API key, by mistake.
func TestADeadLetterDoesNotShowTheKey(t *testing.T) {
	t.Parallel()
	for _, more := range []string{`,"metadata":{"key":"%s"}`, `,"metadata":{"key":"%s"},"max_steps":0`} {
		w := newWorld(t)
		w.keepFailed = true
		w.keys = func() []string { return []string{w.api.Key()} }
		w.finish("w1", w.request(w.planned(anchortest.Plan{Fails: 9}, fmt.Sprintf(more, w.api.Key())))(1))
		if got, want := string(w.letters()[0].Data), w.planned(anchortest.Plan{Fails: 9}, fmt.Sprintf(more, "[redacted]")); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
