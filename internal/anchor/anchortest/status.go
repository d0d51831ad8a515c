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
		return refusal(http.StatusNotFound, "Workflow not found"), s.faultFor(nil, 0, 0, pollCall)
	}
	fault = s.faultFor(wf.plan.Poll, wf.polls, time.Since(wf.began), pollCall)
	if fault.Until == 0 {
		wf.polls++
	}
	wf.log.Polls++
	if !s.hasKey(r) {
		return refusal(http.StatusUnauthorized, "Invalid API Key"), fault
	}
	if wf.ended && wf.log.Answered.IsZero() && !fault.replacesAnswer() {
		wf.log.Answered = time.Now()
	}
	return wf.documented(), fault
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
func (s *Server) handleBilling(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, s.bill(r))
}

// bill returns the answer to a call for the plan. Of faults only an outage strikes it, and only one that
// replaces the answer. All numbers but the limit are made up.
func (s *Server) bill(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outage != nil && s.outage.replacesAnswer() {
		return *s.outage
	}
	if !s.hasKey(r) {
		return refusal(http.StatusUnauthorized, "Invalid API Key")
	}
	return success(map[string]any{
		"credits": 42.5, "credits_used": 7.5, "included_credits": 50, "billing_period": "2026-08",
		"tier": "stand_in", "max_concurrent_browsers": s.maxRunning, "cost_limit": nil,
	})
}
