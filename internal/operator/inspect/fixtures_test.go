package inspect_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/anchor/anchortest"
	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/inspect"
	"github.com/capstan-worker/capstan/internal/operator/operatortest"
	"github.com/capstan-worker/capstan/internal/task"
)

// desk is a queue, and what its tests read from it.
type desk struct {
	*operatortest.Site
	t *testing.T
}

// newDesk returns a desk with all streams.
func newDesk(t *testing.T) *desk {
	t.Helper()
	return &desk{operatortest.Start(t), t}
}

// bareDesk returns a desk without streams.
func bareDesk(t *testing.T) *desk {
	t.Helper()
	return &desk{operatortest.StartBare(t), t}
}

var night = time.Date(2026, 11, 26, 2, 0, 0, 0, time.Local)

// look returns the status of a view.
func (d *desk) look(v *inspect.View) inspect.Status {
	d.t.Helper()
	s, err := v.Status(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// find returns what is stored about a task.
func (d *desk) find(id string) inspect.Task {
	d.t.Helper()
	found, err := inspect.Find(d.t.Context(), d.Queue, id, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return found
}

// list returns the ids of the tasks that a listing takes, in their order.
func (d *desk) list(f inspect.Listing) string {
	d.t.Helper()
	all, complete, err := inspect.List(d.t.Context(), d.Queue, f)
	if err != nil || !complete {
		d.t.Fatalf("got %v, complete %v", err, complete)
	}
	var ids []string
	for _, e := range all {
		ids = append(ids, e.ID)
	}
	return strings.Join(ids, " ")
}

// follow follows the batch night meanwhile.
func (d *desk) follow(ctx context.Context) <-chan batchEnd {
	ended := make(chan batchEnd, 1)
	go func() {
		var got batchEnd
		got.BatchEnd, got.err = inspect.FollowBatch(ctx, d.Queue, "night", jetstream.OrderedConsumerConfig{}, func(operator.Event) { got.events++ })
		ended <- got
	}()
	return ended
}

// finish ends a task of the batch night as a worker does: event, record, and the request's acknowledgement.
func (d *desk) finish(id string, code task.Code, requests ...jetstream.Msg) {
	d.t.Helper()
	const batch = "night"
	ev := task.Event{TaskID: id, Status: task.Succeeded, Batch: batch}
	if code != "" {
		ev.Status, ev.Error = task.Failed, task.NewError(code, "x")
	}
	seq := d.WriteEvent(ev)
	d.WriteRecord(task.Record{TaskID: id, State: ev.Status, ErrorCode: code, Batch: batch, ResultSeq: seq})
	for _, msg := range requests {
		if err := msg.DoubleAck(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
	}
}

// startWorker starts a worker that holds two tasks at once, and stops it at the end of the test.
func (d *desk) startWorker(api *anchortest.Server) {
	d.t.Helper()
	for name, value := range map[string]string{
		"NATS_URL": d.Config.NATS.URL, "ANCHORBROWSER_API_KEY": api.Key(), "ANCHORBROWSER_BASE_URL": api.URL(), "MAX_IN_FLIGHT_TOTAL": "2", "WORKER_NAME": "w1",
		"POLL_INTERVAL": "50ms", "POLL_MAX_INTERVAL": "250ms", "ADMIN_ADDR": "127.0.0.1:0",
	} {
		d.t.Setenv(name, value)
	}
	cfg, err := app.LoadConfig()
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(d.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx, cfg, "test", zerolog.Nop()) }()
	d.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			d.t.Error(err)
		}
	})
}

// blocked returns a request whose workflow ends after a release, and its prompt.
func blocked(t *testing.T, id string) (body, prompt string) {
	t.Helper()
	prompt, err := anchortest.Prompt("do "+id, anchortest.Plan{Block: true, Result: json.RawMessage(`"ok"`)})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"task_id":%q,"url":"https://shop.example","prompt":%s}`, id, jsonOf(t, prompt)), prompt
}

// jsonOf returns a value as JSON, for comparisons.
func jsonOf(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
