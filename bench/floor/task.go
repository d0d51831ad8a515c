package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// task is a request and what has become of it.
type task struct {
	request  jetstream.Msg
	id       string
	seq      uint64 // of the request
	stored   string // when that was
	body     []byte // to post
	workflow string
	result   []byte
	event    uint64 // sequence of the event
}

// parse reads a request of the benchmarks: task_id is the first field, and all others are for the API.
func parse(msg jetstream.Msg) *task {
	rest, ok := bytes.CutPrefix(msg.Data(), []byte(`{"task_id":"`))
	id, rest, closed := bytes.Cut(rest, []byte(`",`))
	if !ok || !closed {
		check(errors.New("not a request of the benchmarks"))
	}
	meta, err := msg.Metadata()
	check(err)
	body := append(make([]byte, 0, len(rest)+16), `{"async":true,`...)
	return &task{request: msg, id: string(id), seq: meta.Sequence.Stream, stored: timestamp(meta.Timestamp), body: append(body, rest...)}
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// digest stands for the SHA-256 of a request, which a worker stores.
const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// record returns a record with the fields that a worker writes.
func (t *task) record(state string) []byte {
	now := timestamp(time.Now())
	b := make([]byte, 0, 640)
	b = fmt.Appendf(b, `{"task_id":%q,"state":%q,"owner":"floor","epoch":1,"request_seq":%d,"digest":%q`, t.id, state, t.seq, digest)
	if t.workflow != "" {
		b = fmt.Appendf(b, `,"workflow_id":%q`, t.workflow)
	}
	b = fmt.Appendf(b, `,"attempts":1,"requested_at":%q`, t.stored)
	if t.workflow != "" {
		b = fmt.Appendf(b, `,"submitted_at":%q`, now)
	}
	if t.event != 0 {
		b = fmt.Appendf(b, `,"finished_at":%q,"polls":1,"result_seq":%d`, now, t.event)
	}
	return fmt.Appendf(b, `,"updated_at":%q}`, now)
}

// eventMessage returns an event with the fields and headers that a worker publishes.
func (t *task) eventMessage() *nats.Msg {
	now := timestamp(time.Now())
	b := fmt.Appendf(make([]byte, 0, 640), `{"task_id":%q,"status":"succeeded","workflow_id":%q,"workflow_status":"COMPLETED","result":%s,`+
		`"requested_at":%q,"submitted_at":%q,"finished_at":%q,"attempts":1,"polls":1,"worker":"floor"}`,
		t.id, t.workflow, t.result, t.stored, now, now)
	return &nats.Msg{Subject: resultSubject, Data: b, Header: nats.Header{
		"Nats-Msg-Id": {t.id}, "content-type": {"application/json"}, "ce-specversion": {"1.0"}, "ce-id": {t.id},
		"ce-source": {"/capstan/" + requestStream}, "ce-type": {"dev.capstan.task.succeeded"}, "ce-time": {now}, "ce-subject": {t.id},
	}}
}
