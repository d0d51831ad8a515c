// Package standin is an API that costs as little as can be, so that the benchmarks measure workers and not
// it. It understands just what the worker sends: POST /v1/tools/perform-web-task, and GET of a status below
// it. What follows a full stop in the API key is the name of the worker, to count by.
//
// It keeps nothing of a workflow: when it began is in its id. With Config.Times it does, and lets each run for
// as long as the second word of its prompt says, where that is a duration.
//
//	GET  /_bench/count     how often it was asked
//	GET  /_bench/times     what became of each task; with Config.Times
//	PUT  /_bench/end       every workflow has ended
package standin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config says how workflows run.
type Config struct {
	Addr  string        `json:"addr"`
	Run   time.Duration `json:"run,omitempty"`   // how long each takes
	Hold  bool          `json:"hold,omitempty"`  // none ends before PUT /_bench/end
	Times bool          `json:"times,omitempty"` // keep what became of each task
}

// Counts are how often the stand-in was asked.
type Counts struct {
	Posts   uint64            `json:"posts"`
	Polls   uint64            `json:"polls"`
	Workers map[string]uint64 `json:"workers,omitempty"` // posts by worker
}

// Times are what became of a task, in Unix nanoseconds and nanoseconds.
type Times struct {
	Posted   int64 `json:"posted"`   // the submission had arrived
	Answered int64 `json:"answered"` // the status call that told of the end was answered; 0: none was yet

	Run     int64 `json:"run,omitempty"` // how long it runs, where its prompt said so
	Polls   int   `json:"polls"`         // status calls
	Latest  int64 `json:"latest"`        // the latest of them, or the submission
	Longest int64 `json:"longest"`       // the longest time without one, up to the latest
}

// server is the stand-in.
type server struct {
	cfg   Config
	polls atomic.Uint64
	posts atomic.Uint64
	ended atomic.Bool

	mu      sync.Mutex
	workers map[string]*atomic.Uint64 // guarded by mu
	times   map[string]Times          // by task; guarded by mu
	tasks   map[string]string         // by workflow; guarded by mu
}

// Serve answers until ctx ends.
func Serve(ctx context.Context, cfg Config) error {
	s := &server{cfg: cfg, workers: map[string]*atomic.Uint64{}, times: map[string]Times{}, tasks: map[string]string{}}
	s.ended.Store(!cfg.Hold)
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return fmt.Errorf("start the stand-in: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		nc, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a connection: %w", err)
		}
		go s.serve(nc) // ends with its client, or with the process
	}
}

// countOf returns the count of a worker's posts.
func (s *server) countOf(worker string) *atomic.Uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := s.workers[worker]
	if count == nil {
		count = &atomic.Uint64{}
		s.workers[worker] = count
	}
	return count
}

func (s *server) counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := Counts{Posts: s.posts.Load(), Polls: s.polls.Load(), Workers: map[string]uint64{}}
	for name, count := range s.workers {
		all.Workers[name] = count.Load()
	}
	return all
}
