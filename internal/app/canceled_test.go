package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// put writes a key of the control bucket.
func (w *world) put(key, value string) {
	w.t.Helper()
	if _, err := w.controlBucket().Put(w.t.Context(), key, []byte(value)); err != nil {
		w.t.Fatal(err)
	}
}

// codes waits for n events and returns the code of each, or "" for a success, by the task's id.
func (w *world) codes(n int) map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for _, ev := range w.waitEvents(n) {
		all[ev.TaskID] = string(ev.code())
	}
	return all
}

// A plain key in the bucket is enough: `nats kv put task_control cancel.ID "why"`.
func TestAKeyInTheControlBucketCancelsTasks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1")
	for _, id := range []string{"runs", "runs-in-a-batch", "stays"} {
		w.submit(id, blocked, `"batch":"`+strings.TrimPrefix(id, "runs-in-a-")+`"`)
		w.waitState(id, task.Running)
	}
	w.put("pause", "no more")
	p.ready("submissions: paused: no more")
	w.submit("waits", done)
	w.submit("waits-in-a-batch", done, `"batch":"batch"`)
	w.waitState("waits", task.Waiting)
	w.put("cancel.runs", "wrong customer")
	w.put("cancel.waits", "wrong customer")
	w.put("cancel-batch.batch", `{"reason":"wrong night","by":"ada"}`)
	w.submit("comes-later", done, `"batch":"batch"`)
	got := w.codes(5)
	for _, id := range []string{"runs", "runs-in-a-batch", "waits", "waits-in-a-batch", "comes-later"} {
		if got[id] != string(task.Canceled) {
			t.Errorf("%s: got %q, want canceled", id, got[id])
		}
	}
	for _, id := range []string{"waits", "waits-in-a-batch", "comes-later"} {
		if n := w.seen(id, done).Posts; n != 0 {
			t.Errorf("%s: got %d POSTs, want none", id, n)
		}
	}
	if err := w.controlBucket().Delete(t.Context(), "pause"); err != nil {
		t.Fatal(err)
	}
	w.release("stays")
	if got := w.codes(6)["stays"]; got != "" {
		t.Errorf("got %q for the task that nobody canceled", got)
	}
}

// A worker that starts knows the cancellations from before.
func TestAWorkerThatStartsKnowsTheCancellations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1").drain()
	const n = 50
	for i := range n {
		w.submit(fmt.Sprint("t", i), done)
		if i%2 == 0 {
			w.put(fmt.Sprint("cancel.t", i), "")
		}
	}
	w.startReady("w2")
	got := w.codes(n)
	for i := range n {
		id := fmt.Sprint("t", i)
		if want := map[int]string{0: string(task.Canceled), 1: ""}[i%2]; got[id] != want {
			t.Errorf("%s: got %q, want %q", id, got[id], want)
		}
	}
}

// Whoever has the task says what it does.
func TestTheWorkerThatHasATaskSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startReady("w1")
	w.startReady("w2")
	w.submit("a", blocked)
	w.waitState("a", task.Running)
	natstest.Eventually(t, func() error { // it joins the fleet after its first pull
		got, found, err := fleet.Task(t.Context(), w.nc, "a")
		if err != nil || !found || got.Step != "poll" || got.NextPoll.Before(time.Now().Add(-time.Second)) {
			return fmt.Errorf("got %+v, %v, %w, want a task that is polled", got, found, err)
		}
		return nil
	})
	if got, found, err := fleet.Task(t.Context(), w.nc, "b"); found || err != nil {
		t.Errorf("got %+v, %v, %v, want nothing about a task that nobody has", got, found, err)
	}
}

func TestAWorkerReadsSecretsFromItsFolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pin"), []byte("pin-of-the-shop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := w.startReady("w1", "SECRETS_DIR="+dir)
	w.submit("a", anchortest.Plan{Fails: 9}, `"secret_refs":{"PIN":"pin"}`)
	w.submit("b", anchortest.Plan{}, `"secret_refs":{"PIN":"nip"}`)
	got := w.codes(2)
	if got["a"] != string(task.WorkflowFailed) || got["b"] != string(task.SecretUnavailable) {
		t.Errorf("got %v", got)
	}
	if sent := string(w.seen("a", anchortest.Plan{Fails: 9}).Bodies[0]); !strings.Contains(sent, "pin-of-the-shop") {
		t.Errorf("got the body %s", sent)
	}
	p.drain()
	for _, stream := range []string{"TASK_RESULTS", "TASK_DEAD", "KV_task_tracker"} {
		if kept := strings.Join(w.bodies(stream), ""); strings.Contains(kept, "pin-of-the-shop") {
			t.Errorf("%s has the secret", stream)
		}
	}
	if strings.Contains(p.log.String(), "pin-of-the-shop") {
		t.Error("the log has the secret")
	}
	if letters := w.bodies("TASK_DEAD"); len(letters) != 2 || !strings.Contains(strings.Join(letters, ""), `"secret_refs":{"PIN":"pin"}`) {
		t.Errorf("got the dead letters %v, want both requests as they came", letters)
	}
}
