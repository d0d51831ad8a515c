package anchortest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// session is a browser: one that POST /v1/sessions created, or one that a task without a session started for itself. The
// server's mutex guards it.
type session struct {
	id      string
	byTask  bool            // started by a task, and ends with it
	config  json.RawMessage // the body of POST /v1/sessions; nil for a task's own
	asked   sessionRequest  // what the body asks for
	created time.Time
	ended   time.Time // zero while it is open
	cause   string    // of its end
	deletes int       // calls that asked for its end
	domains []string  // hosts that it was told to open
	plan    SessionPlan

	workflows []*workflow // that were started in it
	running   map[*workflow]bool
	idle      *time.Timer // ends it when no workflow has run for a while; nil for no limit
	idleFor   time.Duration
	limit     *time.Timer // ends it after its longest duration; nil for no limit
}

// sessions holds all sessions. The server's mutex guards it. It only grows, like the ledger.
type sessions struct {
	byID    map[string]*session
	inOrder []*session // as they were created
	open    int        // browsers in use
	calls   map[sessionCallsKey]*sessionCalls
}

func newSessions() sessions {
	return sessions{byID: map[string]*session{}, calls: map[sessionCallsKey]*sessionCalls{}}
}

// add opens a session.
func (all *sessions) add(ss *session) {
	ss.id, ss.created, ss.running = newUUID(), time.Now(), map[*workflow]bool{}
	all.byID[ss.id] = ss
	all.inOrder = append(all.inOrder, ss)
	all.open++
}

// isOpen reports whether the browser still runs.
func (ss *session) isOpen() bool { return ss.ended.IsZero() }

// status is the API's word for the state of a session.
func (ss *session) status() string { return ss.statusAt(time.Now()) }

// openAt reports whether the browser ran at a time after its creation.
func (ss *session) openAt(at time.Time) bool { return ss.isOpen() || at.Before(ss.ended) }

// statusAt is the status at a time after its creation.
func (ss *session) statusAt(at time.Time) string {
	if ss.openAt(at) {
		return "running"
	}
	return "completed"
}

// duration is how long the session has been open, or was.
func (ss *session) duration() time.Duration {
	if ss.isOpen() {
		return time.Since(ss.created)
	}
	return ss.ended.Sub(ss.created)
}

// visit notes the host of an address that the session was told to open. It ignores an address without one.
func (ss *session) visit(address string) {
	if u, err := url.Parse(address); err == nil && u.Hostname() != "" {
		ss.domains = append(ss.domains, u.Hostname())
	}
}

// begin notes that a workflow runs in the session.
func (ss *session) begin(wf *workflow, t Task) {
	ss.running[wf] = true
	ss.workflows = append(ss.workflows, wf)
	ss.visit(t.URL)
}

// leave notes that a workflow has ended. It ends a session that the task started for itself. The caller holds mu.
func (s *Server) leave(ss *session, wf *workflow) {
	delete(ss.running, wf)
	switch {
	case ss.byTask:
		s.endSession(ss, endedByTask)
	case len(ss.running) == 0 && ss.idle != nil && ss.isOpen():
		ss.idle.Reset(ss.idleFor)
	}
}

// sessionOf returns the session in which a task runs: the one that it names, or a new one. It is nil for a session that
// only the function of WithSessions knows. If the task cannot run, refused is the answer. A session that has ended is
// returned only if the rules say that it takes tasks. The caller holds mu.
func (s *Server) sessionOf(t Task) (ss *session, refused *Fault) {
	if t.SessionID == "" {
		if refused := s.noBrowserLeft(); refused != nil {
			return nil, refused
		}
		ss = &session{byTask: true}
		s.sessions.add(ss)
		return ss, nil
	}
	ss = s.sessions.byID[t.SessionID]
	answer := foreignSession()
	switch {
	case s.rules.isForeign(t.SessionID), ss == nil && s.ownsSession != nil && !s.ownsSession(t.SessionID):
		return nil, &answer
	case ss == nil || ss.isOpen() || s.rules.TaskInEnded == http.StatusOK:
		return ss, nil
	case s.rules.TaskInEnded != 0:
		answer = refusal(s.rules.TaskInEnded, "The browser session has ended")
	}
	return nil, &answer
}

// noBrowserLeft returns the answer to a call that needs another browser while all of the plan are in use, and else nil.
// The caller holds mu.
func (s *Server) noBrowserLeft() *Fault {
	if s.maxRunning < 0 || s.sessions.open < s.maxRunning {
		return nil
	}
	refused := refusal(429, "too many concurrent browsers")
	return &refused
}
