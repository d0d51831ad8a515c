package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/internal/tracker"
)

// records reads and writes records beside the workers.
func (w *world) records() *tracker.Tracker {
	w.t.Helper()
	nc, _ := w.server.Connect()
	return tracker.New(natstest.Batcher(w.t, nc), w.stream(w.tracker.Stream()), w.tracker, prometheus.NewRegistry(), zerolog.Nop())
}

// loseRecords deletes the bucket and creates it again.
func (w *world) loseRecords() {
	w.t.Helper()
	cfg := w.stream(w.tracker.Stream()).CachedInfo().Config
	if err := w.js.DeleteStream(w.t.Context(), cfg.Name); err != nil {
		w.t.Fatal(err)
	}
	natstest.Stream(w.t, w.js, cfg)
}

// running starts a worker on a request and returns when it waits for the workflow. goOn lets the next status call
// through.
func (w *world) running(deliver func(uint64) task.Delivery) (goOn func(), verdict <-chan error) {
	w.t.Helper()
	slow := stall{step: "status", reached: make(chan struct{}), goOn: make(chan struct{})}
	p := w.worker("w1", slow)
	verdicts := make(chan error, 1)
	go func() { verdicts <- handle(w.t.Context(), p, deliver(1)) }()
	<-slow.reached
	return func() { close(slow.goOn) }, verdicts
}

// The bucket is deleted while a worker runs a task. The worker lives and knows the workflow: the task ends once.
func TestATaskWhoseRecordIsLostEndsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(fmt.Sprintf(request, ""))
	goOn, verdict := w.running(deliver)
	w.loseRecords()
	goOn()
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	if err := handle(t.Context(), w.worker("w2", healthy{}), deliver(2)); err != nil { // the ack is lost
		t.Fatal(err)
	}
	if events := w.events(); len(events) != 1 || w.api.Accepted("a") != 1 {
		t.Errorf("got %d events of %d runs, want one of one", len(events), w.api.Accepted("a"))
	}
}

// And when it dies after it was told of the loss, the next worker resumes the workflow.
func TestALostRecordIsWrittenAgainWhileItsTaskRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	prompt := w.plan("a", 300*time.Millisecond)
	deliver := w.request(fmt.Sprintf(`{"task_id":"a","prompt":%s,"url":"https://example.com"}`, prompt))
	ctx, dies := context.WithCancel(t.Context())
	first := w.worker("w1", healthy{})
	verdict := make(chan error, 1)
	go func() { verdict <- handle(ctx, first, deliver(1)) }()
	records := w.records()
	w.eventually(func() error { return stateIs(records, "a", task.Running) })
	w.loseRecords()
	first.RecordsLost()
	w.eventually(func() error { return stateIs(records, "a", task.Running) })
	dies()
	if err := <-verdict; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if err := handle(t.Context(), w.worker("w2", healthy{}), deliver(2)); err != nil {
		t.Fatal(err)
	}
	if events := w.events(); len(events) != 1 || events[0].Error != nil || w.api.Totals().Accepted != 1 {
		t.Errorf("got %+v of %d runs, want one success of one", events, w.api.Totals().Accepted)
	}
}

// NATS loses its last writes: the record is an older one of the same task.
func TestARecordThatWentBackIsWrittenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(fmt.Sprintf(request, ""))
	goOn, verdict := w.running(deliver)
	old, err := w.records().Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	old.State, old.WorkflowID = task.Submitting, ""
	w.put(old.TaskID, old.JSON())
	goOn()
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	if events := w.events(); len(events) != 1 || events[0].Error != nil {
		t.Errorf("got %+v, want one success", events)
	}
}

// A worker that may have lost the request writes nothing: another one may run the task, and have ended it.
func TestALapsedOwnerDoesNotWriteALostRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(fmt.Sprintf(request, ""))
	slow := stall{step: "status", reached: make(chan struct{}), goOn: make(chan struct{})}
	m := deliver(1)
	m.LeaseExpired = func() bool { return true }
	p := w.worker("w1", slow)
	verdict := make(chan error, 1)
	go func() { verdict <- handle(t.Context(), p, m) }()
	select {
	case err := <-verdict: // it gave the task up before it had recorded it
		if !errors.Is(err, task.ErrNotOwner) {
			t.Errorf("got %v, want ErrNotOwner", err)
		}
	case <-slow.reached:
		t.Error("a worker without a lease began a task")
		close(slow.goOn)
	}
	if _, err := w.records().Get(t.Context(), "a"); !errors.Is(err, task.ErrNoRecord) {
		t.Errorf("got %v, want ErrNoRecord", err)
	}
}

// Two versions work side by side: members of a record that this version does not know survive its writes.
func TestUnknownMembersOfARecordAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(fmt.Sprintf(request, ""))
	w.dieWhileItRuns(nil, deliver(1))
	rec, err := w.records().Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	const unknown = `"batch":"b1","runs":[{"code":"timeout"}]`
	w.put("a", []byte(strings.TrimSuffix(string(rec.JSON()), "}")+","+unknown+"}"))
	if err := handle(t.Context(), w.worker("w2", healthy{}), deliver(2)); err != nil {
		t.Fatal(err)
	}
	msg, err := w.stream(w.tracker.Stream()).GetLastMsgForSubject(t.Context(), w.tracker.Subject("a"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(msg.Data); !strings.Contains(got, `"state":"succeeded"`) || !strings.Contains(got, unknown) {
		t.Errorf("got %s, want the ended record with %s", got, unknown)
	}
}

// A newer version may know states that this one does not.
func TestARecordOfANewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(fmt.Sprintf(request, ""))
	newer := `{"task_id":"a","state":"paused","owner":"w9","epoch":3,"request_seq":1,"digest":"d","requested_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}`
	w.put("a", []byte(newer))
	if err := handle(t.Context(), w.worker("w1", healthy{}), deliver(1)); !errors.Is(err, task.ErrNewerRecord) {
		t.Errorf("got %v, want ErrNewerRecord", err)
	}
	msg, err := w.stream(w.tracker.Stream()).GetLastMsgForSubject(t.Context(), w.tracker.Subject("a"))
	if err != nil {
		t.Fatal(err)
	}
	if string(msg.Data) != newer || len(w.events()) != 0 || w.api.Totals().Accepted != 0 {
		t.Errorf("got record %s, %d events and %d POSTs, want all as it was", msg.Data, len(w.events()), w.api.Totals().Accepted)
	}
}

// The record says when the POST is over. Its owner has the time until then to record the answer.
func TestASubmissionIsGivenUpOnlyWhenItsPostIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	deliver := w.request(fmt.Sprintf(request, ""))
	m := deliver(1)
	until := time.Now().Add(2 * time.Second)
	w.put("a", task.Record{
		TaskID: "a", State: task.Submitting, Owner: "w9", Epoch: 1, RequestSeq: m.Seq, RequestedAt: m.Stored, Attempts: 1,
		Digest: w.digest(m), PostUntil: until,
	}.JSON())
	if err := handle(t.Context(), w.worker("w1", healthy{}), deliver(2)); err != nil {
		t.Fatal(err)
	}
	events := w.events()
	if len(events) != 1 || events[0].Error == nil || events[0].Error.Code != task.SubmissionUnknown {
		t.Fatalf("got %+v, want submission_unknown", events)
	}
	if got := events[0].FinishedAt; got.Before(until) {
		t.Errorf("it was given up %v before the POST was over", until.Sub(got))
	}
}

// plan is a prompt, as JSON, of a workflow that runs for that long.
func (w *world) plan(text string, run time.Duration) string {
	w.t.Helper()
	return w.prompt(text, anchortest.Plan{Run: run})
}

// prompt is a prompt, as JSON, of a workflow that goes by the plan.
func (w *world) prompt(text string, plan anchortest.Plan) string {
	w.t.Helper()
	prompt, err := anchortest.Prompt(text, plan)
	if err != nil {
		w.t.Fatal(err)
	}
	quoted, err := json.Marshal(prompt)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(quoted)
}

// put writes into the bucket whatever stands there.
func (w *world) put(key string, value []byte) {
	w.t.Helper()
	_, err := w.js.PublishMsg(w.t.Context(), &nats.Msg{Subject: w.tracker.Subject(key), Data: value})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) digest(m task.Delivery) string {
	w.t.Helper()
	req, err := task.ParseRequest(m, task.Defaults{Timeout: time.Minute})
	if err != nil {
		w.t.Fatal(err)
	}
	return req.Digest
}

func (w *world) eventually(check func() error) {
	w.t.Helper()
	natstest.Eventually(w.t, check)
}

func stateIs(records *tracker.Tracker, id string, want task.State) error {
	rec, err := records.Get(context.Background(), id)
	if err == nil && rec.State != want {
		err = fmt.Errorf("got %q, want %q", rec.State, want)
	}
	return err
}
