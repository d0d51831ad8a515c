package anchortest

import (
	"io"
	"net/http"
	"net/url"
)

// handleCreateSession answers POST /v1/sessions. The faults of submissions strike it as well.
func (s *Server) handleCreateSession(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.answer(w, r, refusal(http.StatusRequestEntityTooLarge, "the body is too large"))
		return
	}
	asked, invalid := readSessionRequest(body)
	fault := s.unplannedFault(submitCall)
	s.sleep(fault.Before)
	answer := fault
	if fault.allowsAccept() {
		answer = s.createSession(r, body, asked, invalid, fault)
	}
	s.sleep(fault.After)
	s.answer(w, r, answer)
}

// unplannedFault returns the fault that strikes a call that has no plan: the outage's or a random one.
func (s *Server) unplannedFault(call callKind) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faultFor(nil, 0, 0, call)
}

// createSession opens a session, or returns the answer that refuses it.
func (s *Server) createSession(r *http.Request, body []byte, asked sessionRequest, invalid error, fault Fault) (answer Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasKey(r) {
		return wrongKey(r)
	}
	header, refused := s.starts.count()
	if header != nil && !fault.replacesAnswer() {
		defer func() { answer.Header = header }()
	}
	if refused {
		return tooManyStarts()
	}
	if invalid != nil {
		return refusal(http.StatusBadRequest, invalid.Error())
	}
	if refused := s.noBrowserLeft(); refused != nil {
		return *refused
	}
	ss := &session{config: body, asked: asked}
	s.sessions.add(ss)
	ss.visit(asked.Session.InitialURL)
	s.startTimers(ss)
	callOf(r).Session = ss.id
	callOf(r).note("session %s is open; %s", ss.id, s.browsersInUse())
	return fault.onto(success(map[string]any{
		"id": ss.id, "cdp_url": "ws://" + r.Host + "/?" + url.Values{"apiKey": {s.key}, "sessionId": {ss.id}}.Encode(),
		"live_view_url": "http://" + r.Host + "/live?" + url.Values{"sessionId": {ss.id}}.Encode(),
	}))
}
