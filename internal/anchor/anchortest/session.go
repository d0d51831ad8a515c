package anchortest

import (
	"encoding/json"
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
	tasks   int       // workflows that were started in it
	domains []string  // hosts that it was told to open

	running map[*workflow]bool
	idle    *time.Timer // ends it when no workflow has run for a while; nil for no limit
	limit   *time.Timer // ends it after its longest duration; nil for no limit
}

// sessions holds all sessions. The server's mutex guards it. It only grows, like the ledger.
type sessions struct {
	byID    map[string]*session
	inOrder []*session // as they were created
	open    int        // browsers in use
}

func newSessions() sessions { return sessions{byID: map[string]*session{}} }

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
func (ss *session) status() string {
	if ss.isOpen() {
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
	ss.tasks++
	ss.visit(t.URL)
}

// leave notes that a workflow has ended. It ends a session that the task started for itself. The caller holds mu.
func (s *Server) leave(ss *session, wf *workflow) {
	delete(ss.running, wf)
	switch {
	case ss.byTask:
		s.endSession(ss)
	case len(ss.running) == 0 && ss.idle != nil && ss.isOpen():
		ss.idle.Reset(ss.asked.idleTimeout())
	}
}

// endSession ends a session and the workflows that run in it, which fail. Of a session that has ended it changes nothing.
// The caller holds mu.
func (s *Server) endSession(ss *session) {
	if !ss.isOpen() {
		return
	}
	ss.ended = time.Now()
	s.sessions.open--
	for _, timer := range []*time.Timer{ss.idle, ss.limit} {
		if timer != nil {
			timer.Stop()
		}
	}
	for wf := range ss.running {
		s.finish(wf, failed("the browser session has ended"))
	}
}

// startTimers lets the session end by itself, as its request asks. The caller holds mu. Close does not stop the timers: a
// session ends even while the API cannot be reached.
func (s *Server) startTimers(ss *session) {
	end := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.endSession(ss)
	}
	endIdle := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(ss.running) == 0 { // else leave starts the timer again
			s.endSession(ss)
		}
	}
	if d := ss.asked.maxDuration(); d > 0 {
		ss.limit = time.AfterFunc(d, end)
	}
	if d := ss.asked.idleTimeout(); d > 0 {
		ss.idle = time.AfterFunc(d, endIdle)
	}
}

// sessionOf returns the session in which a task runs: the one that it names, or a new one. It is nil for a session that
// only the function of WithSessions knows. If the task cannot run, refused is the answer. The caller holds mu.
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
	if ss != nil && !ss.isOpen() || ss == nil && s.ownsSession != nil && !s.ownsSession(t.SessionID) {
		forbidden := refusal(403, "You do not have access to this session")
		return nil, &forbidden
	}
	return ss, nil
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
