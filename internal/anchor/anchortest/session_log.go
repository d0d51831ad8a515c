package anchortest

import (
	"net/http"
	"slices"
	"time"
)

// SessionLog is what became of a session that POST /v1/sessions created.
type SessionLog struct {
	ID        string    `json:"id"`
	Tags      []string  `json:"tags"`
	Created   time.Time `json:"created"`
	Ended     time.Time `json:"ended,omitzero"`      // zero while it is open
	Cause     string    `json:"cause,omitempty"`     // of its end: deleted, idle_timeout or max_duration
	Deletes   int       `json:"deletes"`             // calls that asked for its end, including those that failed
	Workflows []string  `json:"workflows,omitempty"` // that were started in it
	Steps     int       `json:"steps"`               // of the agents
}

// Sessions returns what became of all sessions that POST /v1/sessions created, in the order of their creation. Those that
// tasks started for themselves are not among them.
func (s *Server) Sessions() []SessionLog {
	s.mu.Lock()
	defer s.mu.Unlock()
	logs := []SessionLog{}
	for _, ss := range s.sessions.inOrder {
		if !ss.byTask {
			logs = append(logs, ss.log(s.rules.FirstStep))
		}
	}
	return logs
}

// log returns a copy that does not change any more.
func (ss *session) log(firstStep time.Duration) SessionLog {
	log := SessionLog{
		ID: ss.id, Tags: slices.Clone(ss.asked.Session.Tags), Created: ss.created, Ended: ss.ended, Cause: ss.cause, Deletes: ss.deletes,
		Steps: ss.steps(firstStep),
	}
	for _, wf := range ss.workflows {
		log.Workflows = append(log.Workflows, wf.id)
	}
	return log
}

// handleSessionLog answers GET /_stand-in/sessions.
func (s *Server) handleSessionLog(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Sessions()) }
