package anchortest

import (
	"net/http"
	"time"
)

// handleStatus answers GET /v1/tools/perform-web-task/{workflow}/status.
func (s *Server) handleStatus(w http.ResponseWriter, r *http.Request) {
	documented, fault := s.poll(r)
	s.sleep(fault.Before + fault.After)
	s.answer(w, r, fault.onto(documented))
}

// poll counts a poll. It returns the documented answer and the fault that strikes the call.
func (s *Server) poll(r *http.Request) (documented, fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.polls++
	wf := s.ledger.workflows[r.PathValue("workflow")]
	if wf == nil {
		callOf(r).note("no workflow with this id was started here")
		fault = s.faultFor(nil, 0, 0, pollCall)
		if !s.hasKey(r) {
			return wrongKey(r), fault
		}
		return s.unknownWorkflow(), fault
	}
	callOf(r).Task, callOf(r).Workflow = wf.log.prompt, wf.id
	fault = s.faultFor(wf.plan.Poll, wf.polls, time.Since(wf.began), pollCall)
	if fault.Until == 0 {
		wf.polls++
	}
	wf.log.Polls++
	if !s.hasKey(r) {
		return wrongKey(r), fault
	}
	callOf(r).note("%s", wf.foreseen())
	if wf.ended && wf.log.Answered.IsZero() && !fault.replacesAnswer() {
		wf.log.Answered = time.Now()
	}
	return wf.documented(), fault
}

// unknownWorkflow is the answer to a poll of a workflow that was not started here.
func (s *Server) unknownWorkflow() Fault {
	if s.rules.UnknownWorkflow == http.StatusOK {
		return success(data{Status: "RUNNING"})
	}
	return refusal(statusOr(s.rules.UnknownWorkflow, http.StatusNotFound), "Workflow not found")
}

// foreseen says in plain words how the workflow ended, or when it is likely to.
func (wf *workflow) foreseen() string {
	switch {
	case wf.ended:
		return "ended as " + wf.state
	case wf.plan.Block && wf.ends.IsZero():
		return "runs until it is released"
	case !wf.ends.IsZero() && time.Until(wf.ends) > 0:
		return "runs for " + time.Until(wf.ends).Round(100*time.Millisecond).String()
	default:
		return "is about to end"
	}
}

// documented is the answer to a poll. The running states are upper-case here, and lower-case in the answer to a POST.
func (wf *workflow) documented() Fault {
	switch {
	case !wf.ended && wf.plan.Interim != "":
		return success(data{Status: wf.plan.Interim})
	case !wf.ended:
		return success(data{Status: "RUNNING"})
	case wf.state == "COMPLETED":
		return success(data{Status: wf.state, Result: wf.result})
	default:
		return success(data{Status: wf.state, Error: wf.err})
	}
}

// handleBilling answers GET /v1/billing. Only max_concurrent_browsers has a meaning: -1 means no limit.
// All other numbers are made up.
func (s *Server) handleBilling(w http.ResponseWriter, r *http.Request) {
	s.answerWithKey(w, r, func() Fault {
		callOf(r).note("%s", s.browsersInUse())
		return success(map[string]any{
			"credits": 42.5, "credits_used": 7.5, "included_credits": 50, "billing_period": "2026-08",
			"tier": "stand_in", "max_concurrent_browsers": s.maxRunning, "cost_limit": nil,
		})
	})
}
