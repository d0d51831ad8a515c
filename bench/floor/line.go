package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/anchor"
)

// statusCalls is how many status calls may be in progress: as many as in a worker.
const statusCalls = 128

// slot is a task in progress. NATS answers its latest message to a subject that ends with the slot's number.
type slot struct {
	*task
	number   int
	step     step
	revision uint64 // of the record
}

// step is the answer that a slot waits for.
type step int

const (
	create step = iota
	running
	publish
	finish
)

// line is all slots and what they share. The next step of a task begins where the answer to the one before arrives, so
// that no task needs a goroutine and many messages leave in one write.
type line struct {
	nc    *nats.Conn
	api   *anchor.Client
	inbox string
	slots []slot
	free  chan *slot
	posts chan *slot // wait for a POST
	gets  chan *slot // wait for a status call
}

func newLine(nc *nats.Conn, a *anchor.Client, held int) *line {
	l := &line{
		nc: nc, api: a, inbox: nats.NewInbox(), slots: make([]slot, held),
		free: make(chan *slot, held), posts: make(chan *slot, held), gets: make(chan *slot, held),
	}
	for i := range l.slots {
		l.slots[i].number = i
		l.free <- &l.slots[i]
	}
	return l
}

// run begins to run tasks.
func (l *line) run(ctx context.Context, posts int) {
	_, err := l.nc.Subscribe(l.inbox+".*", l.answered)
	check(err)
	for range posts {
		go l.post(ctx)
	}
	for range statusCalls {
		go l.get(ctx)
	}
	js, err := jetstream.New(l.nc)
	check(err)
	c, err := js.Consumer(ctx, requestStream, consumer)
	check(err)
	_, err = c.Consume(l.begin, jetstream.PullMaxMessages(len(l.slots)))
	check(err)
}

// begin gives a request to a slot, as soon as one is free.
func (l *line) begin(msg jetstream.Msg) {
	s := <-l.free
	s.task, s.step, s.revision = parse(msg), create, 0
	l.write(s, "submitting")
}

// answered begins the next step of a task when the one before is stored.
func (l *line) answered(msg *nats.Msg) {
	number, err := strconv.Atoi(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
	check(err)
	s, seq := &l.slots[number], sequence(msg.Data)
	switch s.step {
	case create:
		s.revision = seq
		l.posts <- s
	case running:
		s.revision = seq
		l.gets <- s
	case publish:
		s.event, s.step = seq, finish
		l.write(s, "succeeded")
	case finish:
		check(s.request.Ack())
		l.free <- s
	}
}

// write writes the record over the known revision.
func (l *line) write(s *slot, state string) {
	msg := &nats.Msg{Subject: recordPrefix + s.id, Data: s.record(state), Header: nats.Header{
		"Nats-Expected-Last-Subject-Sequence": {strconv.FormatUint(s.revision, 10)},
	}}
	if s.step == finish {
		msg.Header["Nats-TTL"] = []string{"168h0m0s"}
	}
	l.send(s, msg)
}

// send publishes a message whose answer names the slot.
func (l *line) send(s *slot, msg *nats.Msg) {
	msg.Reply = l.inbox + "." + strconv.Itoa(s.number)
	check(l.nc.PublishMsg(msg))
}

// post submits tasks and records their workflows.
func (l *line) post(ctx context.Context) {
	for s := range l.posts {
		var err error
		s.workflow, err = l.api.Submit(ctx, "", s.body)
		check(err)
		s.step = running
		l.write(s, "running")
	}
}

// get waits for results and publishes them.
func (l *line) get(ctx context.Context) {
	for s := range l.gets {
		for s.result == nil {
			w, err := l.api.Status(ctx, s.workflow, anchor.MaxAnswer)
			check(err)
			if w.Ended() {
				s.result = w.Result
			}
		}
		s.step = publish
		l.send(s, s.eventMessage())
	}
}

// sequence reads the sequence that a stream has given to a message.
func sequence(ack []byte) uint64 {
	_, rest, ok := bytes.Cut(ack, []byte(`"seq":`))
	if !ok || bytes.Contains(ack, []byte(`"error"`)) {
		check(fmt.Errorf("the stream answered %s", ack))
	}
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	seq, err := strconv.ParseUint(string(rest[:max(end, 0)]), 10, 64)
	check(err)
	return seq
}
