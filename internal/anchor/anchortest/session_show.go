package anchortest

import (
	"encoding/json"
	"net/http"
	"time"
)

// stepTime is how long a step of an agent takes, and creditsPerStep what it costs, in the figures of a session. They are
// made up.
const (
	stepTime       = 4 * time.Second
	creditsPerStep = 0.01
)

// handleGetSession answers GET /v1/sessions/{id}.
func (s *Server) handleGetSession(w http.ResponseWriter, r *http.Request) {
	s.answerWithKey(w, r, func() Fault {
		ss := s.sessions.byID[r.PathValue("session")]
		if ss == nil {
			return refusal(http.StatusNotFound, "Session not found")
		}
		callOf(r).Session = ss.id
		callOf(r).note("session is %s", ss.status())
		return success(ss.details())
	})
}

// handleEndSession answers DELETE /v1/sessions/{id}. The workflows of the session fail. An id that is not known is answered
// with 401, as the API's document has it.
func (s *Server) handleEndSession(w http.ResponseWriter, r *http.Request) {
	s.answerWithKey(w, r, func() Fault {
		ss := s.sessions.byID[r.PathValue("session")]
		if ss == nil {
			return refusal(http.StatusUnauthorized, "Invalid API Key or browser session ID")
		}
		callOf(r).Session = ss.id
		callOf(r).note("session ended with %d running workflows", len(ss.running))
		s.endSession(ss)
		return success(map[string]string{"status": "success"})
	})
}

// handleEndAllSessions answers DELETE /v1/sessions/all, which is not in the document, but in the vendor's clients.
func (s *Server) handleEndAllSessions(w http.ResponseWriter, r *http.Request) {
	s.answerWithKey(w, r, func() Fault {
		callOf(r).note("%d sessions ended", s.sessions.open)
		for _, ss := range s.sessions.inOrder {
			s.endSession(ss)
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

// details is what GET /v1/sessions/{id} says of a session. The figures are made up from its duration.
func (ss *session) details() map[string]any {
	return map[string]any{
		"session_id": ss.id, "team_id": "stand-in", "duration": int(ss.duration().Seconds()), "status": ss.status(),
		"credits_used": ss.credits(), "configuration": ss.configuration(), "playground": false, "proxy_bytes": 0,
		"tokens": map[string]any{}, "steps": ss.steps(), "tags": ss.tags(), "created_at": ss.created.UTC(),
	}
}

// state is what GET /v1/sessions/all/status says of a session.
func (ss *session) state() map[string]any {
	return map[string]any{"session_id": ss.id, "status": ss.status(), "tags": ss.tags(), "created_at": ss.created.UTC()}
}

// history is what GET /v1/sessions says of a session.
func (ss *session) history() map[string]any {
	var credits any = "N/A" // while it runs
	if !ss.isOpen() {
		credits = ss.credits()
	}
	var proxy any
	if ss.asked.Session.Proxy.Active {
		proxy = ss.asked.Session.Proxy.Type
	}
	recording := ss.asked.Session.Recording == nil || ss.asked.Session.Recording.Active
	return map[string]any{
		"id": ss.id, "status": ss.status(), "tags": ss.tags(), "headless": ss.asked.Browser.Headless.Active, "recording": recording,
		"used_credits": credits, "proxy_bytes": 0, "proxy_type": proxy, "steps": ss.steps(), "duration": int(ss.duration().Seconds()),
		"created_at": ss.created.UTC(), "user_configuration": ss.configuration(), "task_initiated": ss.byTask,
		"task_executions_count": ss.tasks, "api_key_name": "stand-in", "browser_ip": nil, "domains": ss.domains,
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

// steps grows with the time in which tasks may have run.
func (ss *session) steps() int {
	if ss.tasks == 0 {
		return 0
	}
	return 1 + int(ss.duration()/stepTime)
}

func (ss *session) credits() float64 { return float64(ss.steps()) * creditsPerStep }
