package anchortest

import (
	"io"
	"net/http"
	"net/url"
	"strings"
)

// handleCreateSession answers POST /v1/sessions. The random faults of submissions strike it as well.
func (s *Server) handleCreateSession(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.answer(w, r, refusal(http.StatusRequestEntityTooLarge, "the body is too large"))
		return
	}
	asked, invalid := readSessionRequest(body)
	plan, invalidPlan := s.planSession(asked.Session.Tags)
	if invalid == nil {
		invalid = invalidPlan
	}
	fault := s.faultOfCreation(asked, plan)
	// The client may have given up by now: the session is created nevertheless.
	s.sleep(fault.Before)
	answer := fault
	if fault.allowsAccept() {
		answer = s.createSession(r, &session{config: body, asked: asked, plan: plan}, invalid, fault)
	}
	s.sleep(fault.After)
	s.answer(w, r, answer)
}

// faultOfCreation returns the fault that strikes a creation, and counts the call.
func (s *Server) faultOfCreation(asked sessionRequest, plan SessionPlan) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessionFault(createCall, strings.Join(asked.Session.Tags, ","), plan)
}

// createSession opens a session, or returns the answer that refuses it.
func (s *Server) createSession(r *http.Request, ss *session, invalid error, fault Fault) (answer Fault) {
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
	s.sessions.add(ss)
	ss.visit(ss.asked.Session.InitialURL)
	s.startTimers(ss)
	c := callOf(r)
	c.Session, c.done = ss.id, "session "+ss.id+" is open"
	c.note("session %s is open; %s", ss.id, s.browsersInUse())
	return fault.onto(success(map[string]any{
		"id": ss.id, "cdp_url": "ws://" + r.Host + "/?" + url.Values{"apiKey": {s.key}, "sessionId": {ss.id}}.Encode(),
		"live_view_url": "http://" + r.Host + "/live?" + url.Values{"sessionId": {ss.id}}.Encode(),
	}))
}
