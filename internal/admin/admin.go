// Package admin is the worker's HTTP server for operators: probes, metrics and profiles. None of it is
// part of the way of a task.
package admin

import (
	"context"
	"errors"
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Bounds of the server. A profile is written for as long as its ?seconds= says, and so for no longer
// than writeTimeout.
const (
	readTimeout     = 5 * time.Second
	writeTimeout    = 2 * time.Minute
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 2 * time.Second
	maxHeaderBytes  = 16 << 10
)

// Check is one line in the body of /readyz. It has either Ready or Info. Both are called for every request to
// /readyz, by several goroutines at once, so they return at once.
type Check struct {
	Name string

	// Ready reports whether the worker has one thing that it needs, and a detail of a few words on one line. The
	// worker is ready when every Ready returns true.
	Ready func() (ok bool, detail string)

	// Info returns a detail that readers of /readyz should see and that has no effect on its status, for example
	// that submissions are paused.
	Info func() string
}

// Server answers operators.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// New returns a server that listens on cfg.Addr already and answers once it runs. The error says why the
// address cannot be used. A worker without checks is always ready.
func New(ctx context.Context, cfg Config, version string, g prometheus.Gatherer, log zerolog.Logger, checks ...Check) (*Server, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on ADMIN_ADDR %q: %w", cfg.Addr, err)
	}
	profiles := cfg.Token != "" || isLoopback(listener.Addr())
	log.Info().Stringer("addr", listener.Addr()).Bool("profiles", profiles).Msg("admin server listening")
	return &Server{
		listener: listener,
		http: &http.Server{
			Handler:           routes(cfg.Token, version, g, checks, profiles),
			ReadHeaderTimeout: readTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          stdlog.New(log, "", 0),
		},
	}, nil
}

// Addr is where the server listens: the port that was chosen, where cfg.Addr left the choice with port 0.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run answers until ctx ends, and then for two seconds more what was asked before. It may be called once.
// An error means that the listener broke; the end of ctx is none.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve operators: %w", err)
	case <-ctx.Done():
	}
	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if s.http.Shutdown(shutdownCtx) != nil {
		_ = s.http.Close() // cuts off who still reads a profile
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve operators: %w", err)
	}
	return nil
}

// isLoopback reports whether only this machine can reach the address.
func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
