// Package natsserver runs a real NATS server with JetStream inside the process, for tests and the demo. The worker does
// not import it.
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

// AnyPort is any free port.
const AnyPort = server.RANDOM_PORT

// Config sets where a server listens and where it stores its streams.
type Config struct {
	Dir        string // folder of the file storage; an existing one is used again
	Port       int    // on 127.0.0.1; AnyPort for a free one
	MaxPayload int32  // largest message in bytes; 0: the server's default, 1 MiB
	Name       string // of the server; default: "capstan"
	SyncAlways bool   // writes are synced to the disk before they are acknowledged
	Cluster    Cluster
	File       string // a configuration file; the fields above take precedence
}

// Cluster makes a server a node of a cluster. It does not advertise the other nodes to clients. The zero Cluster is a
// server on its own.
type Cluster struct {
	Name   string   // the same on every node
	Port   int      // on 127.0.0.1, where other nodes connect
	Routes []string // of all nodes, as in "nats://127.0.0.1:6222"
}

// Server is a running NATS server, which only clients on this machine can reach. Start returns one, and
// Stop ends it for good: to start again with the same folder and port, call Start.
type Server struct {
	server *server.Server
	cfg    Config
}

// Start starts a server and returns when it accepts connections. The error gives the server's reason: the port is in
// use, the folder cannot be written, or the file is not a configuration.
func Start(cfg Config) (*Server, error) {
	opts, err := cfg.options()
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("configure NATS server: %w", err)
	}
	log := fatalLog{first: make(chan string, 1)}
	s.SetLogger(log, false, false)
	s.Start()
	if err := awaitReady(s, log); err != nil {
		s.Shutdown()
		return nil, fmt.Errorf("start NATS server in %s: %w", cfg.Dir, err)
	}
	return &Server{server: s, cfg: cfg}, nil
}

// awaitReady returns when a server accepts connections and has JetStream, or when it has given up. A server
// that has given up never becomes ready, so it looks for both in turn.
func awaitReady(s *server.Server, log fatalLog) error {
	for began := time.Now(); ; {
		ready := s.ReadyForConnections(100*time.Millisecond) && s.JetStreamEnabled()
		select {
		case reason := <-log.first:
			return errors.New(reason)
		default:
		}
		if ready {
			return nil
		}
		if time.Since(began) > startTimeout {
			return fmt.Errorf("not ready after %v", startTimeout)
		}
	}
}

// fatalLog is a server's log that keeps only the first fatal message: why it cannot start.
type fatalLog struct{ first chan string }

// Fatalf keeps the message if it is the first.
func (l fatalLog) Fatalf(format string, v ...any) {
	select {
	case l.first <- fmt.Sprintf(format, v...):
	default:
	}
}

func (fatalLog) Noticef(string, ...any) {}
func (fatalLog) Warnf(string, ...any)   {}
func (fatalLog) Errorf(string, ...any)  {}
func (fatalLog) Debugf(string, ...any)  {}
func (fatalLog) Tracef(string, ...any)  {}

// Reload reads the configuration file again, as SIGHUP does. Settings that NATS cannot change while it runs
// are an error, and nothing changes then.
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

// options returns the server's options: those of the file, overridden by the fields. The server handles no
// signals, because they are for the process as a whole, and writes no log.
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

// URL returns the address for clients.
func (s *Server) URL() string { return s.server.ClientURL() }

// Port returns the port that the server listens on, or 0 if it does not listen. A server that is started
// with it has the same address.
func (s *Server) Port() int {
	addr, ok := s.server.Addr().(*net.TCPAddr)
	if !ok {
		return 0
	}
	return addr.Port
}

// Stop stops the server and returns when its storage is closed.
func (s *Server) Stop() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}
