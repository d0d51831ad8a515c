package operator_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/control"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/streams"
	"github.com/capstan-worker/capstan/internal/task"
)

// desk is an operator's view of a queue, and what a test needs to fill it as publishers and workers do.
type desk struct {
	operator.Queue
	t      *testing.T
	server *natstest.Server
}

// bareDesk returns a desk at a server without streams.
func bareDesk(t *testing.T) *desk {
	t.Helper()
	server := natstest.Start(t)
	t.Setenv("NATS_URL", server.URL())
	cfg, err := app.LoadToolConfig()
	if err != nil {
		t.Fatal(err)
	}
	nc, js := server.Connect()
	return &desk{Queue: operator.Queue{Conn: nc, JS: js, Config: cfg}, t: t, server: server}
}

// newDesk returns a desk with the streams and buckets that a worker creates.
func newDesk(t *testing.T) *desk {
	t.Helper()
	d := bareDesk(t)
	cfg := d.Config
	cfg.NATS.Provision = true
	if err := streams.NewBinding(d.Conn, cfg.Streams(), streams.NewPermissionViolations(cfg.Streams(), prometheus.NewRegistry(), zerolog.Nop()), nil, zerolog.Nop()).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	control.New(cfg.Control, control.Access{JetStream: func() jetstream.JetStream { return d.JS }, Create: true, Replicas: 1, TTL: time.Hour}, zerolog.Nop()).Prepare(t.Context())
	return d
}

// publish publishes a request and returns its sequence. The headers are names and values in turn.
func (d *desk) publish(request string, headers ...string) uint64 {
	d.t.Helper()
	msg := &nats.Msg{Subject: "tasks.request", Header: nats.Header{}, Data: []byte(request)}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	ack, err := d.JS.PublishMsg(d.t.Context(), msg)
	if err != nil {
		d.t.Fatal(err)
	}
	d.settle()
	return ack.Sequence
}

// settle waits until the consumer, if there is one, counts all requests: the server stores a request before it counts it.
func (d *desk) settle() {
	d.t.Helper()
	natstest.Eventually(d.t, func() error {
		consumer, err := d.JS.Consumer(d.t.Context(), "TASKS", "worker")
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		stream, err := d.JS.Stream(d.t.Context(), "TASKS")
		if err != nil {
			return err
		}
		c, stored := consumer.CachedInfo(), stream.CachedInfo().State.Msgs
		if counted := c.NumPending + uint64(c.NumAckPending); counted < stored {
			return fmt.Errorf("the consumer counts %d of %d requests", counted, stored)
		}
		return nil
	})
}

// requestWith returns a request with these members.
func requestWith(members string) string {
	return `{"prompt":"p","url":"https://shop.example",` + members + `}`
}

// queue publishes a request with an id.
func (d *desk) queue(id string) {
	d.t.Helper()
	d.publish(requestWith(fmt.Sprintf(`"task_id":%q`, id)))
}

// put writes a value of a bucket as anybody can.
func (d *desk) put(bucket, key, value string) {
	d.t.Helper()
	kv, err := d.JS.KeyValue(d.t.Context(), bucket)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := kv.PutString(d.t.Context(), key, value); err != nil {
		d.t.Fatal(err)
	}
}

// record writes a record as a worker does. What every record has is filled in.
func (d *desk) record(r task.Record) {
	d.t.Helper()
	now := time.Now().UTC()
	if r.RequestedAt.IsZero() {
		r.RequestedAt = now
	}
	if r.UpdatedAt.IsZero() {
		r.UpdatedAt = now
	}
	if r.State == task.Running && r.WorkflowID == "" {
		r.WorkflowID = "wf-" + r.TaskID
	}
	d.put("task_tracker", r.TaskID, string(r.JSON()))
}

// event stores an event as a worker does.
func (d *desk) event(ev task.Event, headers ...string) uint64 {
	d.t.Helper()
	if ev.FinishedAt.IsZero() {
		ev.FinishedAt = time.Now().UTC()
	}
	data, err := ev.JSON()
	if err != nil {
		d.t.Fatal(err)
	}
	msg := &nats.Msg{Subject: "tasks.result", Header: nats.Header{"ce-subject": {ev.TaskID}, nats.MsgIdHdr: {ev.TaskID}}, Data: data}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	ack, err := d.JS.PublishMsg(d.t.Context(), msg)
	if err != nil {
		d.t.Fatal(err)
	}
	return ack.Sequence
}

// take pulls requests as a worker does, and leaves them without an acknowledgement.
func (d *desk) take(n int) {
	d.t.Helper()
	consumer, err := d.JS.Consumer(d.t.Context(), "TASKS", "worker")
	if err != nil {
		d.t.Fatal(err)
	}
	taken, err := consumer.Fetch(n)
	if err != nil {
		d.t.Fatal(err)
	}
	got := 0
	for range taken.Messages() {
		got++
	}
	if got != n {
		d.t.Fatalf("got %d requests, want %d", got, n)
	}
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
