package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/capstan-worker/capstan/test/process"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/capstan-worker/capstan/internal/natsserver"
)

// startTime is how long NATS may take to start, with three nodes on a busy machine.
const startTime = time.Minute

// node is a NATS server. If it ends by itself, it is started again, as a supervisor would do.
type node struct {
	w   *world
	cfg natsserver.Config

	mu      sync.Mutex
	process *process.Process // nil before the first start; guarded by mu
	killed  bool             // it is to stay dead until it is started; guarded by mu
}

func (n *node) addr() string { return fmt.Sprintf("127.0.0.1:%d", n.cfg.Port) }

// start starts the node, with the streams that it has stored, unless it runs.
func (n *node) start(ctx context.Context) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.killed = false
	if n.process != nil && n.process.Alive() {
		return nil
	}
	if n.process, err = n.w.keeper.StartChild(ctx, n.w.dir, n.cfg.Name, process.NATS, n.cfg); err == nil {
		go n.restartWhenEnded(ctx, n.process)
	}
	return err
}

// restartWhenEnded waits for the end of a process, and starts the node again if nothing killed it: a server of NATS can
// panic, for instance when a stream is created while the folder of the one before it is being removed.
func (n *node) restartWhenEnded(ctx context.Context, p *process.Process) {
	<-p.Ended()
	if !n.endedByItself(p) || ctx.Err() != nil {
		return
	}
	end := n.w.faults.note(fault{what: "crash of " + n.cfg.Name, outage: true, resends: true, silent: len(n.w.nodes) > 1})
	defer end()
	_ = n.start(ctx) // the scenario fails if the node stays dead
}

// endedByItself reports whether the node's last process, which has ended, was this one and was not killed.
func (n *node) endedByItself(p *process.Process) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process == p && !n.killed
}

// kill is kill -9. The node stays dead until start.
func (n *node) kill() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.killed = true
	if n.process == nil {
		return nil
	}
	return n.process.Kill()
}

// startNodes starts all nodes and connects to them.
func (w *world) startNodes(ctx context.Context) error {
	if err := w.planNodes(ctx); err != nil {
		return err
	}
	var servers []string
	for _, n := range w.nodes {
		if err := n.start(ctx); err != nil {
			return err
		}
		servers = append(servers, n.addr())
	}
	var err error
	w.nc, err = nats.Connect(addrs(servers), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1),
		nats.ReconnectWait(50*time.Millisecond), nats.Timeout(time.Second), nats.PingInterval(2*time.Second))
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	if w.js, err = jetstream.New(w.nc); err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	return w.natsReady(ctx)
}

// planNodes chooses names, folders and ports.
func (w *world) planNodes(ctx context.Context) error {
	cluster := natsserver.Cluster{Name: "chaos"}
	for i := range w.size {
		port, err := w.ports.Free(ctx)
		if err != nil {
			return err
		}
		route, err := w.ports.Free(ctx)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("nats-%d", i+1)
		w.nodes = append(w.nodes, &node{w: w, cfg: natsserver.Config{
			Name: name, Dir: filepath.Join(w.dir, name), Port: port, SyncAlways: w.sync, Cluster: natsserver.Cluster{Port: route},
		}})
		cluster.Routes = append(cluster.Routes, fmt.Sprintf("nats://127.0.0.1:%d", route))
	}
	if len(w.nodes) == 1 {
		return nil
	}
	for _, n := range w.nodes {
		n.cfg.Cluster.Name, n.cfg.Cluster.Routes = cluster.Name, cluster.Routes
	}
	return nil
}

// natsReady waits until JetStream answers.
func (w *world) natsReady(ctx context.Context) error {
	return untilNATS(ctx, "answers", func(ctx context.Context) error {
		_, err := w.js.AccountInfo(ctx)
		return err
	})
}

// untilNATS repeats a call, which may take two seconds each time, until NATS answers without an error.
func untilNATS(ctx context.Context, what string, call func(ctx context.Context) error) error {
	return process.Until(ctx, "NATS "+what, startTime, func() error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		return call(ctx)
	})
}

// stream returns a stream and its state.
func (w *world) stream(ctx context.Context, name string) (s jetstream.Stream, err error) {
	err = untilNATS(ctx, "describes "+name, func(ctx context.Context) error {
		s, err = w.js.Stream(ctx, name)
		return err
	})
	return s, err
}

// leaderOf returns the node that leads a stream.
func (w *world) leaderOf(ctx context.Context, stream string) (*node, error) {
	var leader *node
	err := untilNATS(ctx, "has a leader of "+stream, func(ctx context.Context) error {
		s, err := w.js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		cluster := s.CachedInfo().Cluster
		for _, n := range w.nodes {
			if cluster == nil || cluster.Leader == n.cfg.Name {
				leader = n
				return nil
			}
		}
		return errors.New("no node leads it")
	})
	return leader, err
}

// killNodes kills nodes with -9. The caller must call end when they have started again.
func (w *world) killNodes(nodes ...*node) (end func(), err error) {
	var names []string
	for _, n := range nodes {
		names = append(names, n.cfg.Name)
	}
	end = w.faults.note(fault{what: "kill -9 of " + strings.Join(names, ", "), outage: true, resends: true, silent: len(w.nodes) > 1})
	for _, n := range nodes {
		if err := n.kill(); err != nil {
			return end, err
		}
	}
	return end, nil
}

func restart(ctx context.Context, nodes ...*node) error {
	for _, n := range nodes {
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	return nil
}

// withoutNodes kills nodes with -9 and starts them again after a while.
func (w *world) withoutNodes(ctx context.Context, downtime time.Duration, nodes ...*node) error {
	end, err := w.killNodes(nodes...)
	if err != nil {
		return err
	}
	defer end()
	if err := process.Pass(ctx, downtime); err != nil {
		return err
	}
	return restart(ctx, nodes...)
}
