package operator_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/app"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
)

// site is a NATS server with the streams and buckets that a worker creates, and the queue on it.
type site struct {
	operator.Queue
	t      testing.TB
	server *natstest.Server
}

// newSite starts a server that has all streams and buckets but those named.
func newSite(tb testing.TB, without ...string) *site {
	tb.Helper()
	server := natstest.Start(tb)
	cfg, err := app.LoadToolConfig()
	if err != nil {
		tb.Fatal(err)
	}
	nc, js := server.Connect()
	for _, s := range []jetstream.StreamConfig{
		{Name: "TASKS", Subjects: []string{"tasks.request"}, Retention: jetstream.WorkQueuePolicy},
		{Name: "TASK_RESULTS", Subjects: []string{"tasks.result"}},
		{Name: "TASK_DEAD", Subjects: []string{"tasks.dead"}},
		bucketConfig("task_tracker"), bucketConfig("task_control"),
	} {
		if !strings.Contains(strings.Join(without, " "), s.Name) {
			natstest.Stream(tb, js, s)
		}
	}
	return &site{Queue: operator.Queue{Conn: nc, JS: js, Config: cfg}, t: tb, server: server}
}

// bucketConfig is the stream behind a bucket, as workers create it.
func bucketConfig(name string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "KV_" + name, Subjects: []string{"$KV." + name + ".>"}, MaxMsgsPerSubject: 1,
		Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true, AllowMsgTTL: true,
	}
}

// publish stores a message.
func (s *site) publish(msg *nats.Msg) {
	s.t.Helper()
	if _, err := s.JS.PublishMsg(s.t.Context(), msg); err != nil {
		s.t.Fatal(err)
	}
}

// record stores the record of a task.
func (s *site) record(rec task.Record) {
	s.t.Helper()
	s.publish(&nats.Msg{Subject: "$KV.task_tracker." + rec.TaskID, Data: rec.JSON()})
}

// event stores an event as a worker does.
func (s *site) event(ev task.Event, id, digest string) {
	s.t.Helper()
	data, err := ev.JSON()
	if err != nil {
		s.t.Fatal(err)
	}
	header := nats.Header{"ce-subject": {ev.TaskID}}
	header.Set(nats.MsgIdHdr, id)
	if digest != "" {
		header.Set(publisher.DigestHeader, digest)
	}
	s.publish(&nats.Msg{Subject: "tasks.result", Header: header, Data: data})
}

// requests returns the bodies of the stored requests, in their order.
func (s *site) requests() (all []string) {
	s.t.Helper()
	for _, msg := range s.messages("TASKS") {
		all = append(all, string(msg.Data))
	}
	return all
}

// messages returns what a stream holds.
func (s *site) messages(name string) (all []*jetstream.RawStreamMsg) {
	s.t.Helper()
	stream, err := s.JS.Stream(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	state := stream.CachedInfo().State
	for seq := max(state.FirstSeq, 1); seq <= state.LastSeq; seq++ {
		if msg, err := stream.GetMsg(s.t.Context(), seq); err == nil {
			all = append(all, msg)
		}
	}
	return all
}

// requestOf returns a valid request.
func requestOf(id string, more ...string) string {
	return fmt.Sprintf(`{"task_id":%q,"prompt":"p","url":"https://shop.example.com/"%s}`, id, strings.Join(more, ""))
}

// read reads a file, which must have no mistakes.
func (s *site) read(name, text, batch string) *operator.Batch {
	s.t.Helper()
	b, err := operator.Read(operator.File{Name: name, Data: []byte(text), Batch: batch}, s.Config)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// prepare prepares a batch that has no conflicts.
func (s *site) prepare(b *operator.Batch) *operator.Submission {
	s.t.Helper()
	sub, err := s.Prepare(s.t.Context(), b)
	if err != nil {
		s.t.Fatal(err)
	}
	return sub
}

// send sends all of a batch.
func (s *site) send(b *operator.Batch) operator.Counts {
	s.t.Helper()
	sub := s.prepare(b)
	if err := sub.Send(s.t.Context(), len(b.Requests)); err != nil {
		s.t.Fatal(err)
	}
	return sub.Counts()
}

// lines returns n requests as JSON Lines, without ids.
func lines(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"prompt":"order %d","url":"https://shop.example.com/"}`+"\n", i)
	}
	return text.String()
}

// finish stores the event and the record of the task of a request that is queued.
func (s *site) finish(r operator.Request, code task.Code) {
	s.t.Helper()
	ev := task.Event{TaskID: r.TaskID, Status: task.Succeeded, Result: json.RawMessage(`"ok"`), RequestedAt: time.Now(), FinishedAt: time.Now()}
	if code != "" {
		ev.Status, ev.Result, ev.Error = task.Failed, nil, &task.Error{Code: code, Message: "no"}
	}
	s.event(ev, r.TaskID, r.Digest)
	s.record(task.Record{TaskID: r.TaskID, State: ev.Status, Digest: r.Digest, WorkflowID: "wf", RequestedAt: ev.RequestedAt, ErrorCode: code})
}
