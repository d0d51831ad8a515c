package anchortest

import (
	"encoding/json"
	"net/http"
	"time"
)

// handleGetSession answers GET /v1/sessions/{id}.
func (s *Server) handleGetSession(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("session")
	s.answerSessionCall(w, r, s.faultOfSession(getCall, id), func() Fault {
		ss := s.knownSession(id)
		switch {
		case s.rules.isForeign(id):
			return foreignSession()
		case ss == nil:
			return refusal(http.StatusNotFound, "Session not found")
		}
		callOf(r).Session = ss.id
		callOf(r).note("session is %s", ss.status())
		return success(ss.details(s.rules))
	})
}

// faultOfSession returns the fault that strikes a call about one session, and counts the call.
func (s *Server) faultOfSession(call callKind, id string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	ss := s.sessions.byID[id]
	if ss == nil {
		return s.faultFor(nil, 0, 0, call)
	}
	if call == endCall {
		ss.deletes++
	}
	return s.sessionFault(call, id, ss.plan)
}

// knownSession returns a session that calls can name, or nil. The caller holds mu.
func (s *Server) knownSession(id string) *session {
	ss := s.sessions.byID[id]
	if ss == nil || s.rules.Forget && !ss.isOpen() {
		return nil
	}
	return ss
}

// handleEndSession answers DELETE /v1/sessions/{id}. The workflows of the session fail, unless the rules say something else.
// An id that is not known is answered with 401, as the API's document has it.
func (s *Server) handleEndSession(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("session")
	s.answerSessionCall(w, r, s.faultOfSession(endCall, id), func() Fault {
		ss := s.knownSession(id)
		switch {
		case s.rules.isForeign(id):
			return foreignSession()
		case ss == nil:
			return refusal(statusOr(s.rules.UnknownDelete, http.StatusUnauthorized), "Invalid API Key or browser session ID")
		case !ss.isOpen() && statusOr(s.rules.EndedDelete, http.StatusOK) != http.StatusOK:
			return refusal(s.rules.EndedDelete, "The browser session has ended")
		}
		c := callOf(r)
		c.Session, c.done = ss.id, "the session has ended"
		c.note("session ended with %d running workflows", len(ss.running))
		s.deleteSession(ss)
		return success(map[string]string{"status": "success"})
	})
}

// handleEndAllSessions answers DELETE /v1/sessions/all, which is not in the document, but in the vendor's clients.
func (s *Server) handleEndAllSessions(w http.ResponseWriter, r *http.Request) {
	s.answerWithKey(w, r, func() Fault {
		callOf(r).note("%d sessions ended", s.sessions.open)
		for _, ss := range s.sessions.inOrder {
			s.endSession(ss, endedByCall)
		}
		return success(map[string]string{"status": "success"})
	})
}

// answerWithKey answers a call that no plan and no random fault strikes: with the outage if there is one that replaces
// answers, with 401 if the key is wrong, and else with what find returns, which is called with mu held.
func (s *Server) answerWithKey(w http.ResponseWriter, r *http.Request, find func() Fault) {
	s.answer(w, r, func() Fault {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch {
		case s.outage != nil && s.outage.replacesAnswer():
			return *s.outage
		case !s.hasKey(r):
			return wrongKey(r)
		}
		return find()
	}())
}

// details is what GET /v1/sessions/{id} says of a session.
func (ss *session) details(rules SessionRules) map[string]any {
	steps, credits := ss.figures(rules)
	return map[string]any{
		"session_id": ss.id, "team_id": "stand-in", "duration": int(ss.duration().Seconds()), "status": ss.status(),
		"credits_used": credits, "configuration": ss.configuration(), "playground": false, "proxy_bytes": 0,
		"tokens": map[string]any{}, "steps": steps, "tags": ss.tags(), "created_at": ss.created.UTC(),
	}
}

// state is what GET /v1/sessions/all/status says of a session as of a time.
func (ss *session) state(at time.Time) map[string]any {
	return map[string]any{"session_id": ss.id, "status": ss.statusAt(at), "tags": ss.tags(), "created_at": ss.created.UTC()}
}

// history is what GET /v1/sessions says of a session as of a time.
func (ss *session) history(rules SessionRules, at time.Time) map[string]any {
	steps, credits := ss.figures(rules)
	if ss.openAt(at) {
		credits = "N/A"
	}
	var proxy any
	if ss.asked.Session.Proxy.Active {
		proxy = ss.asked.Session.Proxy.Type
	}
	recording := ss.asked.Session.Recording == nil || ss.asked.Session.Recording.Active
	return map[string]any{
		"id": ss.id, "status": ss.statusAt(at), "tags": ss.tags(), "headless": ss.asked.Browser.Headless.Active, "recording": recording,
		"used_credits": credits, "proxy_bytes": 0, "proxy_type": proxy, "steps": steps, "duration": int(ss.duration().Seconds()),
		"created_at": ss.created.UTC(), "user_configuration": ss.configuration(), "task_initiated": ss.byTask,
		"task_executions_count": len(ss.workflows), "api_key_name": "stand-in", "browser_ip": nil, "domains": ss.domains,
	}
}

// tags is never nil, so that it is a list in JSON.
func (ss *session) tags() []string { return append([]string{}, ss.asked.Session.Tags...) }

// configuration is what the session was created with.
func (ss *session) configuration() json.RawMessage {
	if !json.Valid(ss.config) { // there is none
		return json.RawMessage("{}")
	}
	return ss.config
}
