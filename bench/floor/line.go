package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/anchor"
)

// statusCalls is how many status calls may be in progress: as many as in a worker.
const statusCalls = 128

// slot is a task in progress. NATS answers its latest message to a subject that ends with the slot's number.
type slot struct {
	number   int
	step     step
	delivery string // subject of the acknowledgement
	task     parsed
	workflow string
	revision uint64 // of the record
	event    uint64 // sequence of the event
	result   []byte
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
	nc     *nats.Conn
	api    *anchor.Client
	inbox  string
	slots  []slot
	posts  chan *slot
	gets   chan *slot
	failed chan error

	mu     sync.Mutex
	free   []int // numbers of free slots; guarded by mu
	pulled int   // requests that were pulled and have not arrived; guarded by mu
}

func newLine(nc *nats.Conn, a *anchor.Client, held int) *line {
	l := &line{
		nc: nc, api: a, inbox: nats.NewInbox(), slots: make([]slot, held),
		posts: make(chan *slot, held), gets: make(chan *slot, held), failed: make(chan error, 1),
	}
	for i := range l.slots {
		l.slots[i].number = i
		l.free = append(l.free, i)
	}
	return l
}

// run runs tasks until ctx ends or something fails.
func (l *line) run(ctx context.Context, posts int) error {
	if _, err := l.nc.Subscribe(l.inbox+".request", l.deliver); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	if _, err := l.nc.Subscribe(l.inbox+".answer.*", l.answered); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	for range posts {
		go l.post(ctx)
	}
	for range statusCalls {
		go l.get(ctx)
	}
	l.pull()
	select {
	case <-ctx.Done():
		return nil
	case err := <-l.failed:
		return err
	}
}

func (l *line) fail(err error) {
	select {
	case l.failed <- err:
	default:
	}
}

// pull asks for a request for each free slot, if a quarter of the slots are free.
func (l *line) pull() {
	l.mu.Lock()
	n := len(l.free) - l.pulled
	if n < len(l.slots)/4 {
		n = 0
	}
	l.pulled += n
	l.mu.Unlock()
	if n == 0 {
		return
	}
	pull := fmt.Appendf(nil, `{"batch":%d,"expires":%d}`, n, pullExpires)
	l.failOn(l.nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+requestStream+"."+consumer, l.inbox+".request", pull))
}

// pullExpires is how long a pull waits, in nanoseconds.
const pullExpires = 30_000_000_000

// deliver receives a request, or the end of a pull.
func (l *line) deliver(msg *nats.Msg) {
	if msg.Reply == "" {
		left, _ := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
		l.mu.Lock()
		l.pulled -= left
		l.mu.Unlock()
		l.pull()
		return
	}
	l.mu.Lock()
	l.pulled--
	last := len(l.free) - 1
	s := &l.slots[l.free[last]]
	l.free = l.free[:last]
	l.mu.Unlock()
	var err error
	if s.task, err = parse(msg); err != nil {
		l.fail(err)
		return
	}
	s.step, s.delivery, s.workflow, s.revision, s.event = create, msg.Reply, "", 0, 0
	l.write(s, "submitting")
}

// answered begins the next step of a task when the one before is stored.
func (l *line) answered(msg *nats.Msg) {
	number, err := strconv.Atoi(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
	if err != nil {
		l.fail(err)
		return
	}
	s := &l.slots[number]
	seq, err := sequence(msg.Data)
	if err != nil {
		l.fail(fmt.Errorf("task %s, step %d: %w", s.task.id, s.step, err))
		return
	}
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
		l.failOn(l.nc.Publish(s.delivery, []byte("+ACK")))
		l.mu.Lock()
		l.free = append(l.free, s.number)
		l.mu.Unlock()
		l.pull()
	}
}

// write writes the record over the known revision.
func (l *line) write(s *slot, state string) {
	msg := &nats.Msg{Subject: recordPrefix + s.task.id, Data: record(s, state), Header: nats.Header{
		"Nats-Expected-Last-Subject-Sequence": {strconv.FormatUint(s.revision, 10)},
	}}
	if s.step == finish {
		msg.Header["Nats-TTL"] = []string{"168h0m0s"}
	}
	l.send(s, msg)
}

// send publishes a message whose answer names the slot.
func (l *line) send(s *slot, msg *nats.Msg) {
	msg.Reply = l.inbox + ".answer." + strconv.Itoa(s.number)
	l.failOn(l.nc.PublishMsg(msg))
}

func (l *line) failOn(err error) {
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		l.fail(fmt.Errorf("publish: %w", err))
	}
}

// post submits tasks and records their workflows.
func (l *line) post(ctx context.Context) {
	for s := range l.posts {
		var err error
		if s.workflow, err = l.api.Submit(ctx, "", s.task.body); err != nil {
			l.fail(err)
			return
		}
		s.step = running
		l.write(s, "running")
	}
}

// get waits for results and publishes them.
func (l *line) get(ctx context.Context) {
	for s := range l.gets {
		var err error
		for s.result = nil; s.result == nil && err == nil; {
			s.result, err = l.status(ctx, s.workflow)
		}
		if err != nil {
			l.fail(err)
			return
		}
		s.step = publish
		l.send(s, event(s))
	}
}

// status returns the result of a workflow, or nil while it runs.
func (l *line) status(ctx context.Context, workflow string) ([]byte, error) {
	w, err := l.api.Status(ctx, workflow, anchor.MaxAnswer)
	if err != nil || !w.Ended() {
		return nil, err
	}
	return w.Result, nil
}

// sequence reads the sequence that a stream has given to a message.
func sequence(ack []byte) (uint64, error) {
	_, rest, ok := bytes.Cut(ack, []byte(`"seq":`))
	if !ok || bytes.Contains(ack, []byte(`"error"`)) {
		return 0, fmt.Errorf("the stream answered %s", ack)
	}
	end := bytes.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	return strconv.ParseUint(string(rest[:max(end, 0)]), 10, 64)
}
