package anchortest

import (
	"net/http"
	"time"
)

// status answers GET /v1/tools/perform-web-task/{workflow}/status.
func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	said, fault := s.poll(r)
	s.wait(fault.Before + fault.After)
	s.answer(w, r, fault.instead(said))
}

// poll counts a poll, and returns the documented answer and what the poll meets.
func (s *Server) poll(r *http.Request) (said, fault Fault) {
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
	if !s.rightKey(r) {
		return refusal(http.StatusUnauthorized, "Invalid API Key"), fault
	}
	return wf.answer(), fault
}

func (wf *workflow) answer() Fault {
	switch {
	case !wf.ended && wf.plan.Interim != "":
		return data(map[string]any{"status": wf.plan.Interim})
	case !wf.ended:
		return data(map[string]any{"status": "RUNNING"})
	case wf.state == "COMPLETED":
		return data(map[string]any{"status": wf.state, "result": wf.result})
	default:
		return data(map[string]any{"status": wf.state, "error": wf.err})
	}
}

// billing answers GET /v1/billing with numbers of no meaning but the one for concurrent browsers.
func (s *Server) billing(w http.ResponseWriter, r *http.Request) {
	s.answer(w, r, s.bill(r))
}

func (s *Server) bill(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.outage != nil && s.outage.replaces() {
		return *s.outage
	}
	if !s.rightKey(r) {
		return refusal(http.StatusUnauthorized, "Invalid API Key")
	}
	return data(map[string]any{
		"credits": 42.5, "credits_used": 7.5, "included_credits": 50, "billing_period": "2026-08",
		"tier": "stand_in", "max_concurrent_browsers": s.maxRunning, "cost_limit": nil,
	})
}
