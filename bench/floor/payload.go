package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// parsed is the parts of a request that are needed.
type parsed struct {
	id     string
	seq    string // in its stream
	stored time.Time
	body   []byte // to post
}

// parse reads a request of the benchmarks: task_id is the first field, and all others are for the API.
func parse(msg *nats.Msg) (parsed, error) {
	rest, ok := bytes.CutPrefix(msg.Data, []byte(`{"task_id":"`))
	id, rest, closed := bytes.Cut(rest, []byte(`",`))
	place := strings.Split(msg.Reply, ".") // $JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>
	if !ok || !closed || len(place) < 9 {
		return parsed{}, errors.New("not a request of the benchmarks")
	}
	nanos, err := strconv.ParseInt(place[7], 10, 64)
	if err != nil {
		return parsed{}, fmt.Errorf("read when the request was stored: %w", err)
	}
	body := append(make([]byte, 0, len(rest)+16), `{"async":true,`...)
	return parsed{id: string(id), seq: place[5], stored: time.Unix(0, nanos).UTC(), body: append(body, rest...)}, nil
}

// digest stands for the SHA-256 of a request, which a worker stores.
const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// record returns a record with the fields that a worker writes.
func record(s *slot, state string) []byte {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	b := make([]byte, 0, 640)
	b = fmt.Appendf(b, `{"task_id":%q,"state":%q,"owner":"floor","epoch":1,"request_seq":%s,"digest":%q`, s.task.id, state, s.task.seq, digest)
	if s.workflow != "" {
		b = fmt.Appendf(b, `,"workflow_id":%q`, s.workflow)
	}
	b = fmt.Appendf(b, `,"attempts":1,"requested_at":%q`, s.task.stored.Format(time.RFC3339Nano))
	if s.workflow != "" {
		b = fmt.Appendf(b, `,"submitted_at":%q`, now)
	}
	if s.event != 0 {
		b = fmt.Appendf(b, `,"finished_at":%q,"polls":1,"result_seq":%d`, now, s.event)
	}
	return fmt.Appendf(b, `,"updated_at":%q}`, now)
}

// event returns an event with the fields and headers that a worker publishes.
func event(s *slot) *nats.Msg {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	b := fmt.Appendf(make([]byte, 0, 640), `{"task_id":%q,"status":"succeeded","workflow_id":%q,"workflow_status":"COMPLETED","result":%s,`+
		`"requested_at":%q,"submitted_at":%q,"finished_at":%q,"attempts":1,"polls":1,"worker":"floor"}`,
		s.task.id, s.workflow, s.result, s.task.stored.Format(time.RFC3339Nano), now, now)
	return &nats.Msg{Subject: resultSubject, Data: b, Header: nats.Header{
		"Nats-Msg-Id": {s.task.id}, "content-type": {"application/json"}, "ce-specversion": {"1.0"}, "ce-id": {s.task.id},
		"ce-source": {"/capstan/" + requestStream}, "ce-type": {"dev.capstan.task.succeeded"}, "ce-time": {now}, "ce-subject": {s.task.id},
	}}
}
