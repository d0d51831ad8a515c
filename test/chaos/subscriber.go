package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/capstan-worker/capstan/internal/publisher"
	"github.com/capstan-worker/capstan/internal/task"
	"github.com/capstan-worker/capstan/test/chaos/verdict"
)

// subscriber gets the events without JetStream, and counts how often it gets each. No link breaks its connection, but it
// loses it if its NATS server is killed.
type subscriber struct {
	nc *nats.Conn

	mu   sync.Mutex         // guards all below
	got  map[string]*copies // by message id
	lost bool               // the connection was lost at some time
}

// copies are the copies of one message that a subscriber got.
type copies struct {
	n       int
	workers map[string]bool // the names in the events; everyone: a repeated event names the worker of the first
	span                    // from the first copy to the latest
}

// subscribe subscribes to the subject of the events.
func (w *world) subscribe() (*subscriber, error) {
	s := &subscriber{got: map[string]*copies{}}
	var servers []string
	for _, n := range w.nodes {
		servers = append(servers, n.addr())
	}
	lost := func(*nats.Conn, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lost = true
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
	_ = json.Unmarshal(m.Data, &ev) // the stream shows an event that cannot be read
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
	if m.Header.Get(publisher.ReplayHeader) != "" {
		c.workers[everyone] = true
	}
}

// republishTime is how long a worker may wait for a PubAck before it publishes an event again. A fault explains a copy if
// it happened less than that before.
const republishTime = 5 * time.Second

// evidence returns what the subscriber got, and which copies the faults explain.
func (s *subscriber) evidence(f *faults) verdict.Core {
	s.mu.Lock()
	defer s.mu.Unlock()
	core := verdict.Core{Got: map[string]int{}, Lost: s.lost}
	for id, c := range s.got {
		core.Got[id] = c.n
	}
	core.Excuses = func(id string) int {
		s.mu.Lock()
		defer s.mu.Unlock()
		c := s.got[id]
		return f.resent(c.workers, span{from: c.from.Add(-republishTime), until: c.until})
	}
	return core
}
