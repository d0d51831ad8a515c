package anchortest

import "time"

// Causes of the end of a session, for SessionLog.
const (
	endedByCall  = "deleted"
	endedIdle    = "idle_timeout"
	endedByLimit = "max_duration"
	endedByTask  = "its task ended"
)

// EndSession ends a session as if its time was up, and reports whether it was open.
func (s *Server) EndSession(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ss := s.sessions.byID[id]
	if ss == nil || !ss.isOpen() {
		return false
	}
	s.endSession(ss, endedByLimit)
	return true
}

// deleteSession ends a session that a call asks to end, at once or after the delay of the rules. The caller holds mu.
func (s *Server) deleteSession(ss *session) {
	if s.rules.EndDelay <= 0 {
		s.endSession(ss, endedByCall)
		return
	}
	time.AfterFunc(s.rules.EndDelay, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.endSession(ss, endedByCall)
	})
}

// endSession ends a session and the workflows that run in it. Of a session that has ended it changes nothing. The caller
// holds mu.
func (s *Server) endSession(ss *session, cause string) {
	if !ss.isOpen() {
		return
	}
	ss.ended, ss.cause = time.Now(), cause
	s.sessions.open--
	for _, timer := range []*time.Timer{ss.idle, ss.limit} {
		if timer != nil {
			timer.Stop()
		}
	}
	for wf := range ss.running {
		s.orphan(wf)
	}
}

// orphan gives a workflow without a browser the state that the rules say, at once or later. Until then it runs on, and its
// plan and its agent no longer end it. The caller holds mu.
func (s *Server) orphan(wf *workflow) {
	if wf.ended || wf.orphaned {
		return
	}
	wf.orphaned = true
	wf.stopped = time.Now()
	end := wf.endingWithoutBrowser(s.rules.TaskState)
	switch {
	case end.state == "RUNNING":
		delete(wf.session.running, wf)
	case s.rules.TaskDelay <= 0:
		s.conclude(wf, end)
	default:
		time.AfterFunc(s.rules.TaskDelay, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.conclude(wf, end)
		})
	}
}

// endingWithoutBrowser is how a workflow ends whose session has ended; an empty state is FAILED.
func (wf *workflow) endingWithoutBrowser(state string) ending {
	if state == "" {
		state = "FAILED"
	}
	return ending{state: state, result: wf.plan.ending().result, err: "the browser session has ended"}
}

// startTimers lets the session end by itself, as its request asks. The caller holds mu. Close does not stop the timers: a
// session ends even while the API cannot be reached.
func (s *Server) startTimers(ss *session) {
	end := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.endSession(ss, endedByLimit)
	}
	endIfIdle := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(ss.running) == 0 { // else leave starts the timer again
			s.endSession(ss, endedIdle)
		}
	}
	if d := ss.asked.maxDuration(s.rules.minute()); d > 0 {
		ss.limit = time.AfterFunc(d, end)
	}
	if ss.idleFor = ss.asked.idleTimeout(s.rules.minute()); ss.idleFor > 0 {
		ss.idle = time.AfterFunc(ss.idleFor, endIfIdle)
	}
}
