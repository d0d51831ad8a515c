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

	// closeGrace is how long Close waits for calls under way.
	closeGrace = 2 * time.Second
)

// Server is the stand-in. It is an http.Handler, and listens by itself after Start. All its methods may
// be called by many goroutines at once.
type Server struct {
	mux        *http.ServeMux
	name       func(Task) string
	plan       func(Task) (Plan, error)
	session    func(id string) bool // whether the session is the caller's
	agent      Agent
	anyField   bool
	rate       int // submissions a minute; 0: no limit
	maxRunning int // -1: no limit
	dice       *dice
	agents     sync.WaitGroup

	mu     sync.Mutex // guards all below
	key    string
	outage *Fault
	window window

	ledger ledger
	blocks blocks
	addr   string // where it listens, or listened
	http   *http.Server
	served chan struct{} // closed when http has returned
	closed chan struct{} // closed by Close; Start makes a new one
}

// New returns a stand-in that knows no task and does not listen yet.
func New(opts ...Option) *Server {
	s := &Server{
		mux:        http.NewServeMux(),
		name:       func(t Task) string { return t.Prompt },
		plan:       MarkedPlan,
		session:    func(string) bool { return true },
		maxRunning: -1,
		key:        defaultKey,
		ledger:     newLedger(),
		blocks:     newBlocks(),
		closed:     make(chan struct{}),
	}
	for _, opt := range opts {
		opt(s)
	}
	s.mux.HandleFunc("POST /v1/tools/perform-web-task", s.submit)
	s.mux.HandleFunc("GET /v1/tools/perform-web-task/{workflow}/status", s.status)
	s.mux.HandleFunc("GET /v1/billing", s.billing)
	s.mux.HandleFunc("GET /_stand-in/log", s.showLog)
	s.mux.HandleFunc("PUT /_stand-in/release", s.release)
	s.mux.HandleFunc("PUT /_stand-in/outage", s.beginOutage)
	s.mux.HandleFunc("DELETE /_stand-in/outage", s.endOutage)
	return s
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Start listens on addr, such as "127.0.0.1:0" for a free port, and serves until Close. After Close it
// may be called again, and what the server knows is kept: an API that was away for a while.
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

// Close stops listening, ends the calls under way and waits for them and for agents. Workflows without
// an agent run on.
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

// beginClose reports whether there is something to close.
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

// isClosed is to be called with mu held.
func (s *Server) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// done is closed when the server is.
func (s *Server) done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Addr is the host and port of the latest Start: what to give to Start to come back at the same address.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// URL is the base URL of the API, as of the latest Start.
func (s *Server) URL() string { return "http://" + s.Addr() }

// Key is the API key that is accepted.
func (s *Server) Key() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

// SetKey makes another key the only one that is accepted.
func (s *Server) SetKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
}

// FailAll answers every call with the fault, until Recover.
func (s *Server) FailAll(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = &f
}

// Recover ends what FailAll began.
func (s *Server) Recover() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = nil
}
