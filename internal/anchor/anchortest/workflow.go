package anchortest

import (
	"context"
	"encoding/json"
	"time"
)

// agentTimeout bounds the time of an agent for one task.
const agentTimeout = time.Minute

// Agent finds the result of a task: any value that can be marshaled as JSON. If it returns an error, the workflow is FAILED
// with the error's text. It must return when ctx ends.
type Agent func(ctx context.Context, t Task) (result any, err error)

// workflow is one run of a task. The server's mutex guards it. Its id, log, plan and beginning never
// change.
type workflow struct {
	id    string
	log   *entry
	plan  Plan
	began time.Time
	polls int // those that count for Fault.Times

	session *session      // nil if only the function of WithSessions knows it
	done    chan struct{} // closed at the end; nil if nobody waits

	orphaned bool      // its session has ended, which decides how it ends
	stopped  time.Time // when its agent stopped; zero while it works

	ended  bool
	ends   time.Time // when it is likely to end; zero if that is not known
	state  string
	result json.RawMessage // if the state is COMPLETED
	err    string          // otherwise
}

// run ends the workflow after Plan.Run. The caller holds mu.
func (s *Server) run(wf *workflow, t Task) {
	end := func() { s.end(wf, wf.plan.ending()) }
	if s.agent != nil && !wf.plan.hasEnding() {
		end = func() { s.runAgent(wf, t) }
	} else if wf.plan.Run <= 0 {
		s.finish(wf, wf.plan.ending())
		return
	}
	wf.ends = time.Now().Add(wf.plan.Run)
	// Close does not stop the timer: a workflow ends even while the API cannot be reached.
	time.AfterFunc(wf.plan.Run, end)
}

// ending fills in the defaults of the plan.
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

// runAgent ends the workflow with what the agent returns. Close waits for it; a server that is closing runs no agent.
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
	s.end(wf, callAgent(ctx, s.agent, t))
}

// callAgent turns an error of the agent, or a result that is not JSON, into a FAILED workflow.
func callAgent(ctx context.Context, agent Agent, t Task) ending {
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

// ending is how a workflow ended.
type ending struct {
	state  string
	result json.RawMessage
	err    string
}

// failed is the ending of a workflow whose agent gave no result.
func failed(err string) ending { return ending{state: "FAILED", err: err} }

// end ends the workflow for the polls that follow. The caller does not hold mu.
func (s *Server) end(wf *workflow, e ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finish(wf, e)
}

// finish ends the workflow, unless the end of its session decides how it ends. The caller holds mu.
func (s *Server) finish(wf *workflow, e ending) {
	if !wf.ended && !wf.orphaned {
		wf.stopped = time.Now()
		s.conclude(wf, e)
	}
}

// conclude ends the workflow. It must be called once for each. The caller holds mu.
func (s *Server) conclude(wf *workflow, e ending) {
	s.ledger.end(wf, e)
	if wf.done != nil {
		close(wf.done)
	}
	if wf.session != nil {
		s.leave(wf.session, wf)
	}
}
