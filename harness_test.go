package capstan_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan"
	"github.com/capstan-worker/capstan/internal/natsserver"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
)

// queue is a NATS server with the streams of a queue, without a worker: the test answers.
type queue struct {
	*capstan.Client
	t    *testing.T
	nats *natstest.Server
	nc   *nats.Conn
	js   jetstream.JetStream
}

func newQueue(t *testing.T, cfg natsserver.Config) *queue {
	t.Helper()
	q := &queue{t: t, nats: natstest.StartWith(t, cfg)}
	q.nc, q.js = q.nats.Connect()
	natstest.Stream(t, q.js, jetstream.StreamConfig{Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy})
	natstest.Stream(t, q.js, jetstream.StreamConfig{Name: "TASK_RESULTS", Subjects: []string{"tasks.result"}})
	q.Client = capstan.New(q.js, capstan.Config{})
	return q
}

// publish publishes a request of a task.
func (q *queue) publish(id string) capstan.Task {
	q.t.Helper()
	published, err := q.Publish(q.t.Context(), capstan.Request{TaskID: id, URL: "https://example.com", Prompt: "p"})
	if err != nil {
		q.t.Fatal(err)
	}
	return published
}

// answer stores an event as a worker does. The worker's name tells the events apart. The headers are names and values in
// turn.
func (q *queue) answer(id, worker string, headers ...string) {
	q.t.Helper()
	msg := &nats.Msg{Subject: "tasks.result", Header: nats.Header{}, Data: fmt.Appendf(nil, `{"task_id":%q,"status":"succeeded","worker":%q}`, id, worker)}
	for i := 0; i < len(headers); i += 2 {
		msg.Header.Set(headers[i], headers[i+1])
	}
	if _, err := q.js.PublishMsg(q.t.Context(), msg); err != nil {
		q.t.Fatal(err)
	}
}

// waitFor waits for the event of a task, which must be that of a worker.
func (q *queue) waitFor(published capstan.Task, worker string) {
	q.t.Helper()
	ctx, cancel := context.WithTimeout(q.t.Context(), time.Minute)
	defer cancel()
	event, err := q.Wait(ctx, published)
	if err != nil || event.Worker != worker {
		q.t.Errorf("got the event of %q, %v, want that of %q", event.Worker, err, worker)
	}
}

// requests returns what the stream of requests has.
func (q *queue) requests() jetstream.StreamState {
	q.t.Helper()
	stream, err := q.js.Stream(q.t.Context(), "TASKS")
	if err != nil {
		q.t.Fatal(err)
	}
	return stream.CachedInfo().State
}
