package operatortest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/fleet"
	"github.com/capstan-worker/capstan/internal/jet"
	"github.com/capstan-worker/capstan/internal/natsserver/natstest"
	"github.com/capstan-worker/capstan/internal/task"
)

// Request returns a valid request. The id may be empty, and members are more of it, such as `"max_steps":7`.
func Request(id string, members ...string) string {
	all := []string{`"prompt":"p"`, `"url":"https://shop.example.com/"`}
	if id != "" {
		all = append([]string{fmt.Sprintf(`"task_id":%q`, id)}, all...)
	}
	return "{" + strings.Join(append(all, members...), ",") + "}"
}

// header returns a header of names and values in turn. Names keep their case.
func header(values []string) nats.Header {
	h := nats.Header{}
	for i := 0; i < len(values); i += 2 {
		h[values[i]] = []string{values[i+1]}
	}
	return h
}

// Write stores a message and returns its sequence.
func (s *Site) Write(msg *nats.Msg) uint64 {
	s.tb.Helper()
	ack, err := s.JS.PublishMsg(s.tb.Context(), msg)
	if err != nil {
		s.tb.Fatal(err)
	}
	return ack.Sequence
}

// Publish publishes a request and returns its sequence. The headers are names and values in turn.
func (s *Site) Publish(request string, headers ...string) uint64 {
	s.tb.Helper()
	seq := s.Write(&nats.Msg{Subject: "tasks.request", Header: header(headers), Data: []byte(request)})
	s.settle()
	return seq
}

// settle waits until the consumer, if there is one, counts all requests: the server stores a request before it counts it.
func (s *Site) settle() {
	s.tb.Helper()
	natstest.Eventually(s.tb, func() error {
		consumer, err := s.JS.Consumer(s.tb.Context(), "TASKS", "worker")
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		stream, err := s.JS.Stream(s.tb.Context(), "TASKS")
		if err != nil {
			return err
		}
		number := func(n uint64) int { return int(min(n, math.MaxInt32)) }
		c, stored := consumer.CachedInfo(), number(stream.CachedInfo().State.Msgs)
		if counted := number(c.NumPending) + c.NumAckPending; counted < stored {
			return fmt.Errorf("the consumer counts %d of %d requests", counted, stored)
		}
		return nil
	})
}

// Fill publishes n messages at once, mostly in their order.
func (s *Site) Fill(n int, subject func(i int) string, body func(i int) []byte) {
	s.tb.Helper()
	for i := range n {
		if _, err := s.JS.PublishAsync(subject(i), body(i), jetstream.WithStallWait(time.Minute)); err != nil {
			s.tb.Fatal(err)
		}
	}
	select {
	case <-s.JS.PublishAsyncComplete():
	case <-s.tb.Context().Done():
	}
}

// FillRecords stores the records of n tasks that have ended, one every two seconds until now, in 40 batches. They are as long as
// those of workers.
func (s *Site) FillRecords(n int) {
	s.tb.Helper()
	now, codes := time.Now().UTC(), task.Codes()
	id := func(i int) string { return fmt.Sprintf("order-%06d", i) }
	s.Fill(n, func(i int) string { return "$KV.task_tracker." + id(i) }, func(i int) []byte {
		end := now.Add(-time.Duration(i) * 2 * time.Second)
		r := task.Record{
			TaskID: id(i), State: task.Succeeded, Owner: "worker-6f9c", Digest: strings.Repeat("d", 64), Attempts: 1, Polls: 9,
			WorkflowID: "perform-web-task-execution-eb2eaa7a-37ca-4f32-9d03-4df4d5623f6a-3ab3ffdb-15b3-4919-8eb6-444124452c08",
			RequestSeq: 1_000_000, RequestedAt: end.Add(-time.Minute), SubmittedAt: end.Add(-30 * time.Second), FinishedAt: end, UpdatedAt: end,
			Batch: fmt.Sprint("batch-", i%40), Host: fmt.Sprintf("shop-%d.example", i%20),
		}
		if i%9 == 0 {
			r.State, r.ErrorCode = task.Failed, codes[i%len(codes)]
		}
		return r.JSON()
	})
}

// Put writes a value of a bucket as anybody can.
func (s *Site) Put(bucket, key, value string) {
	s.tb.Helper()
	s.Write(&nats.Msg{Subject: "$KV." + bucket + "." + key, Data: []byte(value)})
}

// PutObject stores an object in the store of what is too large for a message.
func (s *Site) PutObject(name, text string) {
	s.tb.Helper()
	store, err := s.JS.ObjectStore(s.tb.Context(), "task_results")
	if err != nil {
		s.tb.Fatal(err)
	}
	if _, err := store.PutString(s.tb.Context(), name, text); err != nil {
		s.tb.Fatal(err)
	}
}

// WriteRecord writes a record as a worker does. What every record has is filled in.
func (s *Site) WriteRecord(r task.Record) {
	s.tb.Helper()
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
	s.Put("task_tracker", r.TaskID, string(r.JSON()))
}

// WriteEvent stores an event as a worker does, and returns its sequence. The headers are names and values in turn, and can
// replace the message id, which is the task's id.
func (s *Site) WriteEvent(ev task.Event, headers ...string) uint64 {
	s.tb.Helper()
	if ev.FinishedAt.IsZero() {
		ev.FinishedAt = time.Now().UTC()
	}
	data, err := ev.JSON()
	if err != nil {
		s.tb.Fatal(err)
	}
	set := append([]string{"ce-subject", ev.TaskID, nats.MsgIdHdr, ev.TaskID}, headers...)
	return s.Write(&nats.Msg{Subject: "tasks.result", Header: header(set), Data: data})
}

// WriteLetter stores a dead letter as a worker does: with the request's headers, and with Capstan's own. The headers are names
// and values in turn.
func (s *Site) WriteLetter(id, code, body string, headers ...string) {
	s.tb.Helper()
	set := append([]string{
		"Capstan-Task-Id", id, "Capstan-Code", code, "Capstan-Host", "shop.example.com", "Capstan-Stream", "TASKS", "Capstan-Sequence", "7",
	}, headers...)
	s.Write(&nats.Msg{Subject: "tasks.dead", Header: header(set), Data: []byte(body)})
}

// AnswerAsWorker answers, until the test ends, when somebody asks the workers for their status.
func (s *Site) AnswerAsWorker(status fleet.Status) {
	s.tb.Helper()
	data, err := json.Marshal(status)
	if err != nil {
		s.tb.Fatal(err)
	}
	nc, _ := s.Server.Connect()
	if _, err := nc.Subscribe(jet.StatusSubject, func(m *nats.Msg) { _ = m.Respond(data) }); err != nil {
		s.tb.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		s.tb.Fatal(err)
	}
}
