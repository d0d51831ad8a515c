package hostile_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// While submissions are paused, requests wait, and together they may be larger than the memory of a worker.
func TestLargeRequestsThatWaitInAPause(t *testing.T) {
	heavy(t)
	w := newWorld(t)
	w.setPlan(attackPlan, anchortest.Plan{})
	w.start("MAX_IN_FLIGHT=1000")
	w.api.FailAll(anchortest.RetryAfter(http.StatusTooManyRequests, "3"))
	const n = 900
	filler := member("model", quote(strings.Repeat("m", 1_000_000)))
	for i := range n {
		w.publish(request(fmt.Sprint("attack-", i), attackPlan, filler))
	}
	pause(t, 5*time.Second) // the worker takes what it can
	w.api.Recover()
	w.waiting(n / 3) // an honest task that is published now has these before it in the queue
	stop := w.neighbors()
	defer stop()
	w.answered(n, 4*time.Minute)
	stop()
	for _, ev := range w.judgeNeighbors(w.await(time.Minute)) {
		ended(t, ev, "")
	}
	w.survived()
}

// waiting waits until at most so many requests wait for a worker.
func (w *world) waiting(most uint64) {
	w.t.Helper()
	natstest.Eventually(w.t, func() error {
		source, err := w.js.Consumer(w.t.Context(), "TASKS", "worker")
		if err != nil {
			return err
		}
		if got := source.CachedInfo().NumPending; got > most {
			return fmt.Errorf("waiting requests: got %d, want at most %d", got, most)
		}
		return nil
	})
}

// A worker takes over tasks that began before many other events were stored.
func TestTakeoversWithManyOtherEvents(t *testing.T) {
	heavy(t)
	const n, older = 100, 100_000
	w := newWorld(t)
	w.older = older
	natstest.Stream(t, w.js, jetstream.StreamConfig{ // a short window, so that each takeover must search
		Name: "TASK_RESULTS", Subjects: []string{"tasks.result", "tasks.result.>"}, Duplicates: time.Second,
	})
	w.setPlan(attackPlan, anchortest.Plan{Run: 40 * time.Second})
	w.start()
	for i := range n {
		w.publish(request(fmt.Sprint("attack-", i), attackPlan))
	}
	natstest.Eventually(t, func() error {
		if got := w.api.Totals().Accepted; got < n {
			return fmt.Errorf("got %d tasks accepted, want %d", got, n)
		}
		return nil
	})
	event := []byte(`{"task_id":"older","status":"succeeded","result":"` + strings.Repeat("x", 200) + `","attempts":1}`)
	for i := range older {
		if i%1000 == 0 {
			<-w.js.PublishAsyncComplete()
		}
		if _, err := w.js.PublishAsync("tasks.result.older", event); err != nil {
			t.Fatal(err)
		}
	}
	<-w.js.PublishAsyncComplete()
	if err := w.worker.Kill(); err != nil {
		t.Fatal(err)
	}
	w.start()
	stop := w.neighbors()
	defer stop()
	w.answered(n, 3*time.Minute)
	stop()
	for _, ev := range w.judgeNeighbors(w.await(time.Minute)) {
		ended(t, ev, "")
	}
	w.survived()
}

// A running task keeps the parts of its request that its event needs, and not all of it.
func TestRunningTasksWithLargeRequests(t *testing.T) {
	heavy(t)
	filler := member("model", quote(strings.Repeat("m", 900_000)))
	attack{
		n:       300,
		request: func(i int) string { return request(fmt.Sprint("attack-", i), attackPlan, filler) },
		answers: anchortest.Plan{Run: 20 * time.Second},
		want:    []task.Code{""}, within: 4 * time.Minute,
	}.run(t)
}

// A label or a table with a row for each value of a field would grow without limit.
func TestFieldsWithMoreValuesThanAnyTable(t *testing.T) {
	heavy(t)
	attack{
		n: 2000,
		request: func(i int) string {
			return request(fmt.Sprint("attack-", i), attackPlan, fmt.Sprintf(`"max_steps":%d`, i+1), fmt.Sprintf(`"model":"m-%d"`, i),
				fmt.Sprintf(`"sessionId":"s-%d"`, i))
		},
		answers: anchortest.Plan{Run: time.Second},
		want:    []task.Code{""},
	}.run(t, "MAX_IN_FLIGHT=5000")
}

func TestMetadataAsLargeAsItMayBe(t *testing.T) {
	heavy(t)
	var members []string
	for i := range 4500 {
		members = append(members, fmt.Sprintf(`"name%d":%d`, i, i))
	}
	for name, metadata := range map[string]string{
		"many members": "{" + strings.Join(members, ",") + "}",
		"escapes":      `{"a":"` + strings.Repeat(`\u0000`, 10_000) + `"}`,
		"HTML":         `{"a":"` + strings.Repeat(`<&>`, 20_000) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			attack{
				n:       200,
				request: func(i int) string { return request(fmt.Sprint("attack-", i), attackPlan, member("metadata", metadata)) },
				want:    []task.Code{"", task.InvalidRequest},
			}.run(t)
		})
	}
}

func TestRequestsWithLargeHeaders(t *testing.T) {
	heavy(t)
	large := strings.Repeat("h", 28_000) // NATS allows 64 KiB for all headers
	attack{
		n:       200,
		headers: []string{"Traceparent", large, "Tracestate", large, "Capstan-Reason", large[:1000]},
		want:    []task.Code{""},
	}.run(t)
}

// Each request with the id has other content: it is refused under an id of its own, and the task continues.
func TestManyRequestsUnderOneID(t *testing.T) {
	heavy(t)
	filler := strings.Repeat("m", 100_000)
	attack{
		n: 1000,
		request: func(i int) string {
			return request("attack", attackPlan, member("model", quote(fmt.Sprint(i, filler))))
		},
		answers: anchortest.Plan{Run: 10 * time.Second},
		want:    []task.Code{"", task.DuplicateTask}, within: 4 * time.Minute,
	}.run(t)
}

func TestRequestsThatAreDeepOrRepetitive(t *testing.T) {
	heavy(t)
	for name, c := range map[string]struct {
		request string
		want    []task.Code
	}{
		"a name 100,000 times":     {`{"prompt":"x"` + strings.Repeat(`,"extra":1`, 90_000) + `}`, []task.Code{task.InvalidRequest}},
		"100,000 unknown names":    {strings.TrimSuffix(object(60_000), "}") + `,"prompt":"x"}`, []task.Code{task.InvalidRequest}},
		"half a million brackets":  {strings.Repeat("[", 500_000), []task.Code{task.InvalidRequest}},
		"a name of a megabyte":     {`{` + member(strings.Repeat("n", 1_000_000), "1") + `}`, []task.Code{task.InvalidRequest}},
		"a number of a megabyte":   {`{"prompt":"x","max_steps":` + strings.Repeat("9", 1_000_000) + `}`, []task.Code{task.InvalidRequest}},
		"secrets that are no JSON": {`{"secret_values":{"a":"` + strings.Repeat(`\u0061`, 160_000), []task.Code{task.InvalidRequest}},
	} {
		t.Run(name, func(t *testing.T) {
			attack{n: 40, request: func(int) string { return c.request }, want: c.want}.run(t)
		})
	}
}

// The answers to status calls break off each time: the worker must not keep what it has read.
func TestManyWorkflowsWhoseAnswersNeverEnd(t *testing.T) {
	heavy(t)
	attack{
		n:       60,
		answers: anchortest.Plan{Poll: []anchortest.Fault{{Size: 31 << 20, Cut: true, Times: 3}}, Result: json.RawMessage(`"done"`)},
		want:    []task.Code{""}, within: 4 * time.Minute,
	}.run(t)
}
