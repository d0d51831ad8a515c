// Package admin is the worker's HTTP server for operators: probes, metrics and profiles. No task passes through it.
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

// Timeouts and limits of the server. writeTimeout is also the longest time for which a profile can be recorded.
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

// Server is the admin server. Create it with New, and call Run once. A Server that is never run keeps its
// port until the process ends.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// New returns a server that already listens on cfg.Addr. It answers when Run is called. The error says why the address
// cannot be used. A server without checks always reports that the worker is ready.
func New(ctx context.Context, cfg Config, version string, g prometheus.Gatherer, log zerolog.Logger, checks ...Check) (*Server, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("listen on ADMIN_ADDR %q: %w", cfg.Addr, err)
	}
	// Profiles can contain secrets, so they need a token or a client on this machine.
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

// Addr is the address on which the server listens. If cfg.Addr has port 0, it contains the chosen port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run answers requests until ctx ends, and then gives running requests two seconds more. Call it once. It returns nil after
// the end of ctx, and an error if the listener fails.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the admin address: %w", err)
	case <-ctx.Done():
	}
	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if s.http.Shutdown(shutdownCtx) != nil {
		_ = s.http.Close() // it interrupts the download of a profile
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the admin address: %w", err)
	}
	return nil
}

// isLoopback reports whether only this machine can reach the address.
func isLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
