package anchortest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	defaultKey = "stand-in-key"

	// closeGrace is how long Close waits for calls in progress.
	closeGrace = 2 * time.Second
)

// Server is the stand-in. It is an http.Handler, and after Start it is a server of its own. Its methods may be called by
// many goroutines at once.
type Server struct {
	// These are set by New and its options, and not changed later. The dice and the pace change when they are used, with
	// mu held.
	mux         *http.ServeMux
	name        func(Task) string
	plan        func(Task) (Plan, error)
	ownsSession func(id string) bool // of sessions that were not created here; nil: all
	agent       Agent
	maxRunning  int // -1: no limit
	rules       SessionRules
	planSession func(tags []string) (SessionPlan, error)
	dice        *dice
	sessionDice *dice // nil: calls about sessions have no random faults of their own
	pace        *pace // nil: workflows without a run time of their own end at once
	repeats     bool  // a task that is submitted again after its answer got through is another one
	noBodies    bool  // the log keeps no bodies
	callLog     func(Call)

	// agents counts the running agents, which Close waits for. It grows only with mu held and before Close
	// has begun.
	agents sync.WaitGroup

	mu       sync.Mutex // guards everything below
	key      string
	outage   *Fault
	ledger   ledger
	sessions sessions
	starts   *startWindow // nil: no limit
	blocks   blocks
	addr     string // of the latest Start
	http     *http.Server
	served   chan struct{} // closed when http has stopped
	closed   chan struct{} // closed by Close; Start creates a new one
}

// New returns a stand-in without tasks that does not listen yet. Use it as an http.Handler, or call Start.
// Without options, the prompt of a task is its name in the log and may contain its plan, and there are no
// limits and no random faults.
func New(opts ...Option) *Server {
	s := &Server{
		mux:         http.NewServeMux(),
		name:        func(t Task) string { return t.Prompt },
		plan:        MarkedPlan,
		planSession: MarkedSessionPlan,
		maxRunning:  -1,
		key:         defaultKey,
		ledger:      newLedger(),
		sessions:    newSessions(),
		blocks:      newBlocks(),
		closed:      make(chan struct{}),
	}
	for _, opt := range opts {
		opt(s)
	}
	for pattern, handle := range s.routes() {
		s.mux.HandleFunc(pattern, handle)
	}
	return s
}

// Start listens on addr, such as "127.0.0.1:0" for a free port, and serves until Close. It may be called again after
// Close: the server keeps its tasks, like an API that was unreachable for a while.
func (s *Server) Start(addr string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return errors.New("the stand-in is listening already")
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("start the stand-in: %w", err)
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan struct{})
	s.addr, s.http, s.served, s.closed = listener.Addr().String(), server, served, make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends with Close
	}()
	return nil
}

// Close stops listening, ends the calls in progress, and waits for them and for agents. Workflows without an agent
// continue to run.
func (s *Server) Close() {
	server, served, ok := s.beginClose()
	if !ok {
		return
	}
	if server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		<-served
	}
	s.agents.Wait()
}

// beginClose closes the channel closed, and returns the server to shut down, or nil without Start. ok is
// false if there is nothing to close, because Close was called since the last Start.
func (s *Server) beginClose() (server *http.Server, served chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed() {
		return nil, nil, false
	}
	close(s.closed)
	server, served = s.http, s.served
	s.http, s.served = nil, nil
	return server, served, true
}

// isClosed reports whether Close has begun. The caller holds mu.
func (s *Server) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// closing returns a channel that Close closes. After another Start it is a new channel, so get it when a
// wait begins.
func (s *Server) closing() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Addr returns the host and port of the latest Start. Pass it to Start to listen at the same address again.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// URL returns the base URL of the API, as of the latest Start.
func (s *Server) URL() string { return "http://" + s.Addr() }

// Key returns the API key that the server accepts.
func (s *Server) Key() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

// SetKey replaces the API key, like a key that is rotated. The server answers calls with the old one with
// 401.
func (s *Server) SetKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
}

// FailAll begins an outage: every call meets the fault, until Recover. Its Times has no effect. Workflows
// that run continue.
func (s *Server) FailAll(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = &f
}

// Recover ends the outage. Without one it does nothing.
func (s *Server) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = nil
}
