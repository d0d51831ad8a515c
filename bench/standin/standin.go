// Package standin is a stand-in for the API that uses as little processor time as possible, so that the benchmarks
// measure the worker. It takes about 25 µs a task. The tests' stand-in, internal/anchor/anchortest, takes about 75, and
// the worker itself about 110, so that one would hide what the worker takes.
//
// It reads and writes HTTP by hand and understands only what the worker sends: POST /v1/tools/perform-web-task, and
// GET of a status below it. It remembers nothing about a workflow, unless Config.Times asks for that.
package standin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Role is the role of a child process that runs Serve.
const Role = "api"

// Paths at which a benchmark asks the stand-in.
const (
	PollsPath = "/_bench/polls" // the number of status calls
	TimesPath = "/_bench/times" // Times by task
)

// Config says how workflows run.
type Config struct {
	Addr  string `json:"addr"`
	Hold  bool   `json:"hold,omitempty"`  // workflows never end
	Times bool   `json:"times,omitempty"` // note the times of each task, and let it run as long as its prompt says
}

// Times are the times of one task, in Unix nanoseconds and nanoseconds.
type Times struct {
	Posted   int64 `json:"posted"`   // the submission arrived
	Run      int64 `json:"run"`      // how long the task runs: the second word of its prompt; 0 if that is no duration
	Polls    int   `json:"polls"`    // status calls so far
	Answered int64 `json:"answered"` // the status call that reported the end; 0: none has
}

const (
	webTask = "/v1/tools/perform-web-task"

	running   = `{"data":{"status":"RUNNING"}}`
	completed = `{"data":{"status":"COMPLETED","result":{"heading":"Welcome aboard","paragraph":"The inn has looked over the harbor for long."}}}`
)

type server struct {
	cfg   Config
	polls atomic.Int64
	posts atomic.Int64

	mu    sync.Mutex
	times map[string]Times  // by task; guarded by mu
	tasks map[string]string // by workflow; guarded by mu
}

// Serve answers until ctx ends. Its configuration is a Config as JSON.
func Serve(ctx context.Context, config []byte) error {
	s := &server{times: map[string]Times{}, tasks: map[string]string{}}
	if err := json.Unmarshal(config, &s.cfg); err != nil {
		return fmt.Errorf("configure the stand-in: %w", err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("start the stand-in: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a connection: %w", err)
		}
		go s.serve(conn) // ends with its client, or with the process
	}
}

// answer returns the body of an answer. Its status is always 200, so a client that is not understood fails.
func (s *server) answer(method, target string, body []byte) []byte {
	switch {
	case method == "POST" && target == webTask:
		return s.submit(body)
	case method == "GET" && strings.HasPrefix(target, webTask+"/"):
		return s.status(strings.TrimSuffix(target[len(webTask)+1:], "/status"))
	case target == PollsPath:
		return fmt.Append(nil, s.polls.Load())
	case target == TimesPath:
		s.mu.Lock()
		times := maps.Clone(s.times)
		s.mu.Unlock()
		text, err := json.Marshal(times)
		if err != nil {
			return []byte(err.Error())
		}
		return text
	default:
		return []byte("unknown path " + target)
	}
}

// submit starts a workflow. Its id is as long as the real ones: 101 bytes.
func (s *server) submit(body []byte) []byte {
	now := time.Now()
	number := s.posts.Add(1)
	id := fmt.Sprintf("perform-web-task-execution-%016x-%016x-%040x", now.UnixNano(), number, number)
	if s.cfg.Times {
		s.notePost(id, body, now)
	}
	return []byte(`{"data":{"status":"running","workflow_id":"` + id + `"}}`)
}

// notePost notes a submission. The first word of a prompt is the task's id.
func (s *server) notePost(workflow string, body []byte, now time.Time) {
	_, rest, _ := bytes.Cut(body, []byte(`"prompt":"`))
	task, rest, _ := bytes.Cut(rest, []byte(" "))
	word, _, _ := bytes.Cut(rest, []byte(" "))
	t := Times{Posted: now.UnixNano()}
	if run, err := time.ParseDuration(string(word)); err == nil {
		t.Run = run.Nanoseconds()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[workflow] = string(task)
	s.times[string(task)] = t
}

func (s *server) status(workflow string) []byte {
	s.polls.Add(1)
	ended := !s.cfg.Hold
	if s.cfg.Times {
		ended = s.notePoll(workflow)
	}
	if ended {
		return []byte(completed)
	}
	return []byte(running)
}

// notePoll notes a status call and reports whether the task has ended.
func (s *server) notePoll(workflow string) (ended bool) {
	now := time.Now().UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	task := s.tasks[workflow]
	t := s.times[task]
	t.Polls++
	if ended = now >= t.Posted+t.Run; ended {
		t.Answered = now
	}
	s.times[task] = t
	return ended
}
