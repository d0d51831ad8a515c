package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// controlBucket opens the bucket by which operators steer the workers.
func (w *world) controlBucket() jetstream.KeyValue {
	w.t.Helper()
	kv, err := w.js.KeyValue(w.t.Context(), "task_control")
	if err != nil {
		w.t.Fatal(err)
	}
	return kv
}

// Submissions of all workers stop within a second, also those of a worker that starts during the pause. Polls and events
// go on.
func TestAnOperatorPausesTheSubmissionsOfAllWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	workers := []*worker{w.startReady("w1"), w.startReady("w2")}
	w.submit("runs", blocked)
	w.waitState("runs", task.Running)
	kv := w.controlBucket()
	if _, err := kv.Put(t.Context(), "pause", []byte(`{"reason":"maintenance","by":"ada","until":"2999-01-02T06:00:00Z"}`)); err != nil {
		t.Fatal(err)
	}
	pause(t, time.Second)
	workers = append(workers, w.startReady("w3"))
	const n = 20
	for i := range n {
		w.submit(fmt.Sprint("t", i), done)
	}
	w.release("runs")
	if ev := w.waitEvents(1)[0]; ev.TaskID != "runs" || ev.Status != task.Succeeded {
		t.Errorf("got %+v, want the event of the task that ran", ev.Event)
	}
	for i := range n {
		w.waitsUnsubmitted(fmt.Sprint("t", i), done)
	}
	const says = "paused by ada until 2999-01-02T06:00:00Z: maintenance"
	for _, p := range workers {
		p.awaitReadyz(http.StatusOK, "submissions: "+says+"\n")
		if got := p.metric("capstan_operator_pause"); got != 1 {
			t.Errorf("got the metric %v, want 1", got)
		}
		if n := strings.Count(p.log.String(), "submissions paused by operator"); n != 1 {
			t.Errorf("got %d lines about the pause, want one", n)
		}
	}
	all, err := fleet.All(t.Context(), w.nc)
	if err != nil || len(all) != len(workers) || all[0].Submissions != says {
		t.Errorf("got %+v, %v, want the pause in the status of each", all, err)
	}
	if err := kv.Delete(t.Context(), "pause"); err != nil {
		t.Fatal(err)
	}
	w.waitEvents(n + 1)
	for _, p := range workers {
		p.awaitReadyz(http.StatusOK, "submissions: ok\n")
		if err := p.logged("submissions resumed"); err != nil {
			t.Error(err)
		}
		p.drain()
	}
}

// A worker looks at the bucket before it takes a task.
func TestAWorkerThatStartsDuringAPauseSubmitsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.runsATask(w.startReady("w1"), "a") // it creates the bucket
	kv := w.controlBucket()
	if _, err := kv.Put(t.Context(), "pause", []byte("maintenance")); err != nil {
		t.Fatal(err)
	}
	const n = 50
	for i := range n {
		w.submit(fmt.Sprint("t", i), done)
	}
	w.startReady("w2")
	for i := range n {
		w.waitsUnsubmitted(fmt.Sprint("t", i), done)
	}
}

// An operator's pause does not hide what the API says.
func TestBothPausesAreShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1")
	w.submit("a", faulty(withHeader(anchortest.Answer(402), "Retry-After", "60")))
	p.ready("no_credits")
	if _, err := w.controlBucket().Put(t.Context(), "pause", []byte("a wrong page")); err != nil {
		t.Fatal(err)
	}
	p.ready("submissions: paused: a wrong page; paused until ")
	if !strings.Contains(p.get("/readyz"), "no_credits") {
		t.Errorf("got\n%s\nwant both pauses", p.get("/readyz"))
	}
}

// When the API's pause is over, one submission probes the API. Until it is answered, the others wait.
func TestAProbeIsShownAsWhatThePauseWaitsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.startReady("w1")
	w.submit("a", faulty(anchortest.Answer(402), anchortest.Hang()))
	p.ready("submissions: paused until a probe is answered: no_credits\n")
}

// A bucket of that name may be another application's.
func TestAPauseInAForeignBucketIsIgnored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	natstest.Stream(t, w.js, jetstream.StreamConfig{Name: "KV_task_control", Subjects: []string{"$KV.task_control.>"}, MaxMsgsPerSubject: 1})
	if _, err := w.controlBucket().Put(t.Context(), "pause", []byte("theirs")); err != nil {
		t.Fatal(err)
	}
	p := w.startReady("w1")
	w.runsATask(p, "a")
	if err := p.logged("cancellations and pauses not watched"); err != nil {
		t.Error(err)
	}
}
