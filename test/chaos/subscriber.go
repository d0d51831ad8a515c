package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// subscriber listens to the events without JetStream, and counts how often it gets each. Its own connection is never
// broken on purpose, but a NATS server that is killed takes it along.
type subscriber struct {
	nc *nats.Conn

	mu   sync.Mutex         // guards all below
	got  map[string]*copies // by message id
	away bool               // the connection was lost at some time
}

// copies is what a subscriber got of one message.
type copies struct {
	n       int
	workers map[string]bool // the names in the events
	span                    // from the first to the latest
}

// subscribe subscribes to the events, straight from NATS.
func (w *world) subscribe() (*subscriber, error) {
	s := &subscriber{got: map[string]*copies{}}
	var servers []string
	for _, n := range w.nodes {
		servers = append(servers, n.addr())
	}
	lost := func(*nats.Conn, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.away = true
	}
	var err error
	s.nc, err = nats.Connect(addrs(servers), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.RetryOnFailedConnect(true), nats.DisconnectErrHandler(lost))
	if err != nil {
		return nil, fmt.Errorf("connect the subscriber: %w", err)
	}
	sub, err := s.nc.Subscribe(resultSubject, s.count)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil && s.nc.Flush() != nil {
		lost(s.nc, nil)
	}
	if err != nil {
		return s, fmt.Errorf("subscribe to %s: %w", resultSubject, err)
	}
	return s, nil
}

func (s *subscriber) count(m *nats.Msg) {
	var ev task.Event
	_ = json.Unmarshal(m.Data, &ev) // an event that cannot be read is found on the stream
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	id := m.Header.Get(nats.MsgIdHdr)
	c := s.got[id]
	if c == nil {
		c = &copies{workers: map[string]bool{}, span: span{from: now}}
		s.got[id] = c
	}
	c.n++
	c.until = now
	c.workers[ev.Worker] = true
}

// publishTakes is how long a worker may wait for the stream's answer to an event before it publishes it again. A
// fault in that time before the second copy explains the copy.
const publishTakes = 5 * time.Second

// evidence is what the subscriber got, and which copies the faults explain.
func (s *subscriber) evidence(f *faults) verdict.Core {
	s.mu.Lock()
	defer s.mu.Unlock()
	core := verdict.Core{Got: map[string]int{}, Away: s.away}
	for id, c := range s.got {
		core.Got[id] = c.n
	}
	core.Excuses = func(id string) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		c := s.got[id]
		return f.resent(c.workers, span{from: c.from.Add(-publishTakes), until: c.until})
	}
	return core
}
