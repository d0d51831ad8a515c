package anchortest

import (
	"context"
	"encoding/json"
	"time"
)

// agentTimeout bounds what an agent may take for one task.
const agentTimeout = time.Minute

// Agent finds the result of a task, any value that can be written as JSON. An error makes the workflow
// FAILED with the error's text. It ends when ctx does.
type Agent func(ctx context.Context, t Task) (result any, err error)

// workflow is guarded by the server's mutex.
type workflow struct {
	id    string
	log   *entry
	plan  Plan
	began time.Time
	polls int // those during a stretch of time in its plan not counted

	ended  bool
	state  string
	result json.RawMessage // of a COMPLETED one
	err    string          // of any other that ended
}

// run lets a workflow run its time. The caller holds mu.
func (s *Server) run(wf *workflow, t Task) {
	end := func() { s.end(wf, wf.plan.ending()) }
	if s.agent != nil && !wf.plan.ends() {
		end = func() { s.runAgent(wf, t) }
	} else if wf.plan.Run <= 0 {
		s.ledger.ended(wf, wf.plan.ending())
		return
	}
	time.AfterFunc(wf.plan.Run, end)
}

// ending is how a workflow ends by its plan.
func (p Plan) ending() ending {
	e := ending{state: p.State, result: p.Result, err: p.Error}
	switch {
	case e.state == "" && e.err != "":
		e.state = "FAILED"
	case e.state == "":
		e.state = "COMPLETED"
	}
	if e.result == nil {
		e.result = json.RawMessage(`"done"`)
	}
	if e.err == "" {
		e.err = "The plan says so"
	}
	return e
}

// runAgent counts itself among those that Close waits for, unless that has begun.
func (s *Server) runAgent(wf *workflow, t Task) {
	s.mu.Lock()
	closed := s.closed
	if s.isClosed() {
		s.mu.Unlock()
		s.end(wf, failed("the stand-in was closed"))
		return
	}
	s.agents.Add(1)
	s.mu.Unlock()
	defer s.agents.Done()

	ctx, cancel := context.WithTimeout(context.Background(), agentTimeout)
	defer cancel()
	go func() {
		select {
		case <-closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.end(wf, askAgent(ctx, s.agent, t))
}

func askAgent(ctx context.Context, agent Agent, t Task) ending {
	found, err := agent(ctx, t)
	if err != nil {
		return failed(err.Error())
	}
	result, err := json.Marshal(found)
	if err != nil {
		return failed(err.Error())
	}
	return ending{state: "COMPLETED", result: result}
}

type ending struct {
	state  string
	result json.RawMessage
	err    string
}

func failed(err string) ending { return ending{state: "FAILED", err: err} }

func (s *Server) end(wf *workflow, e ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.ended(wf, e)
}
