// Package natsserver runs a NATS server with JetStream inside the process: the real one, for tests and
// for the demo. A worker in production never imports it.
package natsserver

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startTimeout bounds how long a server may take until it accepts connections.
const startTimeout = 10 * time.Second

// AnyPort asks for a free port.
const AnyPort = server.RANDOM_PORT

// Config says where a server listens and where it keeps its streams.
type Config struct {
	Dir        string // folder of the file storage; one that exists is taken up again
	Port       int    // on 127.0.0.1; AnyPort for a free one
	MaxPayload int32  // longest message in bytes; 0: the server's default, 1 MiB
	Name       string // of the server; absent: "capstan"
	SyncAlways bool   // each write is on the disk before it is acknowledged
	Cluster    Cluster
	File       string // a configuration file; what is said here counts before it
}

// Cluster makes a server a node of several. Its clients are not told where the others are. Absent: a
// server by itself.
type Cluster struct {
	Name   string   // the same on every node
	Port   int      // on 127.0.0.1, where other nodes connect
	Routes []string // of all nodes, as in "nats://127.0.0.1:6222"
}

// Server is a running NATS server.
type Server struct {
	server *server.Server
	cfg    Config
}

// Start starts a server and returns when it accepts connections. It fails where the port is taken, the
// folder cannot be used, or the file is no configuration.
func Start(cfg Config) (*Server, error) {
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("configure NATS server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(startTimeout) || !s.JetStreamEnabled() {
		s.Shutdown()
		return nil, errors.New("NATS server did not come up: is its port taken, or its folder not writable?")
	}
	return &Server{server: s, cfg: cfg}, nil
}

// Reload reads the configuration file again, as the signal SIGHUP makes a server do.
func (s *Server) Reload() error {
	opts, err := s.cfg.options()
	if err != nil {
		return err
	}
	if err := s.server.ReloadOptions(opts); err != nil {
		return fmt.Errorf("reload NATS server: %w", err)
	}
	return nil
}

func (c Config) options() (*server.Options, error) {
	opts := &server.Options{}
	if c.File != "" {
		if err := opts.ProcessConfigFile(c.File); err != nil {
			return nil, fmt.Errorf("read configuration of NATS server: %w", err)
		}
	}
	opts.ServerName, opts.Host, opts.Port = cmp.Or(c.Name, "capstan"), "127.0.0.1", c.Port
	opts.JetStream, opts.StoreDir, opts.SyncAlways = true, c.Dir, c.SyncAlways
	opts.MaxPayload = cmp.Or(c.MaxPayload, opts.MaxPayload)
	opts.NoLog, opts.NoSigs = true, true
	if c.Cluster.Name != "" {
		opts.Cluster = server.ClusterOpts{Name: c.Cluster.Name, Host: "127.0.0.1", Port: c.Cluster.Port, NoAdvertise: true}
		opts.Routes = server.RoutesFromStr(strings.Join(c.Cluster.Routes, ","))
	}
	return opts, nil
}

// URL is where clients connect.
func (s *Server) URL() string { return s.server.ClientURL() }

// Port is the port the server listens on: what to give to Start to bring it back at the same address.
func (s *Server) Port() int {
	addr, ok := s.server.Addr().(*net.TCPAddr)
	if !ok {
		return 0
	}
	return addr.Port
}

// Stop ends the server and waits until its storage is closed.
func (s *Server) Stop() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}
