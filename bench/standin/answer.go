package standin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

const (
	webTask  = "/v1/tools/perform-web-task"
	idPrefix = "perform-web-task-execution-"

	// running and completed are the answers to a status call.
	running   = `{"data":{"status":"RUNNING"}}`
	completed = `{"data":{"status":"COMPLETED","result":{"heading":"Welcome aboard","paragraph":"The inn has looked over the harbor for long."}}}`
)

// answer returns the body of the answer; all are 200, so that what is not understood breaks its client.
func (c *conn) answer(method, target string, body []byte) []byte {
	switch {
	case method == "POST" && target == webTask:
		return c.submit(body)
	case method == "GET" && strings.HasPrefix(target, webTask+"/"):
		return c.status(strings.TrimSuffix(target[len(webTask)+1:], "/status"))
	case target == "/_bench/count":
		return inJSON(c.counts())
	case target == "/_bench/times":
		return inJSON(c.allTimes())
	case method == "PUT" && target == "/_bench/end":
		c.ended.Store(true)
		return []byte("{}")
	default:
		return []byte("no such thing: " + target)
	}
}

// byWorker notes whose key it is.
func (c *conn) byWorker(key []byte) {
	_, name, ok := bytes.Cut(key, []byte("."))
	if ok && (c.count == nil || string(name) != c.worker) {
		c.worker = string(name)
		c.count = c.countOf(c.worker)
	}
}

// submit begins a workflow. Its id is as long as the real ones: 101 bytes.
func (c *conn) submit(body []byte) []byte {
	now := time.Now()
	number := c.posts.Add(1)
	if c.count != nil {
		c.count.Add(1)
	}
	id := fmt.Sprintf("%s%016x-%016x-%040x", idPrefix, now.UnixNano(), number, number)
	if c.cfg.Times {
		c.posted(id, body, now)
	}
	return []byte(`{"data":{"status":"running","workflow_id":"` + id + `"}}`)
}

func (c *conn) status(id string) []byte {
	c.polls.Add(1)
	over := c.ended.Load() && (c.cfg.Run == 0 || time.Since(began(id)) >= c.cfg.Run)
	if c.cfg.Times {
		over = c.asked(id, over)
	}
	if over {
		return []byte(completed)
	}
	return []byte(running)
}

// began reads from its id when a workflow began.
func began(id string) time.Time {
	text := strings.TrimPrefix(id, idPrefix)
	nanos, err := strconv.ParseInt(text[:min(16, len(text))], 16, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(0, nanos)
}

// posted notes a submission. The task's id is the first word of its prompt; the second may say how long it
// runs.
func (s *server) posted(workflow string, body []byte, at time.Time) {
	_, rest, _ := bytes.Cut(body, []byte(`"prompt":"`))
	task, rest, _ := bytes.Cut(rest, []byte(" "))
	word, _, _ := bytes.Cut(rest, []byte(" "))
	t := Times{Posted: at.UnixNano(), Latest: at.UnixNano()}
	if run, err := time.ParseDuration(string(word)); err == nil {
		t.Run = run.Nanoseconds()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks[workflow] = string(task)
	s.times[string(task)] = t
}

// asked notes a status call, and reports whether it is to tell of the end: not before the task has run for as
// long as its prompt said.
func (s *server) asked(workflow string, over bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	task := s.tasks[workflow]
	t, now := s.times[task], time.Now().UnixNano()
	over = over && now >= t.Posted+t.Run
	t.Polls++
	t.Longest = max(t.Longest, now-t.Latest)
	t.Latest = now
	if over {
		t.Answered = now
	}
	s.times[task] = t
	return over
}

func (s *server) allTimes() map[string]Times {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.times)
}

func inJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte(err.Error())
	}
	return text
}
