// Package dashboard is the web page of a queue: it shows tasks, batches, workers and dead letters, and lets an operator
// cancel, pause, resume and redrive. It reads and writes NATS only, with an operator's permissions, by the functions behind
// the commands of the tool.
//
// All pages share one reader of NATS, which reads at most once a second, and only while somebody looks.
package dashboard

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/operator/board"
)

// Timeouts and limits of the server. Pages that stay open set their own deadline for each write.
const (
	readTimeout     = 10 * time.Second
	writeTimeout    = 3 * time.Minute // a redrive sends thousands of requests
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 2 * time.Second
	maxHeaderBytes  = 64 << 10 // the ids of the tasks on a page are in its address
	maxFormBytes    = 64 << 10
)

// Server is the web server. Create it with New, and call Run once.
type Server struct {
	cfg       Config
	queue     operator.Queue
	board     *board.Board
	pages     *renderer
	reader    *reader
	fragments *fragments
	sessions  *sessions
	notices   *notices
	redriving chan struct{} // holds one value while a redrive is planned or sent: it reads all dead letters
	streams   chan struct{} // holds one value for each open page
	log       zerolog.Logger

	listener net.Listener
	http     *http.Server
}

// New returns a server that already listens on cfg.Addr, and answers when Run is called. The error says why the address
// cannot be used.
func New(ctx context.Context, cfg Config, q operator.Queue, log zerolog.Logger) (*Server, error) {
	if mistakes := cfg.Validate(); len(mistakes) > 0 {
		return nil, errors.New(mistakes[0])
	}
	pages, err := newRenderer()
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on DASHBOARD_ADDR %q: %w", cfg.Addr, err)
	}
	s := &Server{
		cfg: cfg, queue: q, board: board.New(q), pages: pages, fragments: newFragments(), sessions: newSessions(cfg.Token), notices: newNotices(),
		redriving: make(chan struct{}, 1), streams: make(chan struct{}, mostStreams), log: log, listener: listener,
	}
	s.reader = newReader(q.Conn, s.board.Refresh, log)
	s.http = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: stdlog.New(log, "", 0),
	}
	return s, nil
}

// Addr is the address on which the server listens. If cfg.Addr has port 0, it contains the chosen port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run reads NATS and answers requests until ctx ends. It returns nil after the end of ctx, and an error if the listener
// fails or the connection to NATS is closed for good.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.http.BaseContext = func(net.Listener) context.Context { return ctx } // open pages end with it
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	read := make(chan struct{})
	go func() {
		defer close(read)
		if err := s.reader.run(ctx); err != nil {
			cancel(err)
		}
	}()
	s.log.Info().Stringer("addr", s.listener.Addr()).Bool("acts", s.cfg.Token != "").Msg("dashboard listening")
	var err error
	select {
	case err = <-served:
		cancel(err)
	case <-ctx.Done():
		s.shutDown(ctx)
		err = <-served
	}
	<-read
	if cause := context.Cause(ctx); errors.Is(cause, nats.ErrConnectionClosed) {
		return fmt.Errorf("read the queue: %w", cause)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the dashboard: %w", err)
	}
	return nil
}

// shutDown gives running requests a moment, and then ends them.
func (s *Server) shutDown(ctx context.Context) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if s.http.Shutdown(bounded) != nil {
		_ = s.http.Close() // nothing is left to do about it
	}
}
