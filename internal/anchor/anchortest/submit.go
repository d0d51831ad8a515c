package anchortest

import (
	"io"
	"net/http"
	"time"
)

// maxBody bounds what is read of a submission, in bytes.
const maxBody = 16 << 20

// submit answers POST /v1/tools/perform-web-task.
func (s *Server) submit(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.answer(w, r, refusal(http.StatusRequestEntityTooLarge, "the body is too large"))
		return
	}
	t, problem := readTask(body, r.URL.Query().Get("sessionId"), s.anyField)
	plan, planProblem := s.plan(t)
	if problem == nil {
		problem = planProblem
	}
	log, fault := s.post(t, plan)
	s.wait(fault.Before)
	said := fault
	if fault.accepts() {
		said = s.accept(r, problem, t, plan, fault, log)
	}
	s.wait(fault.After)
	s.answer(w, r, said)
}

// instead is what the client gets where said is the documented answer.
func (f Fault) instead(said Fault) Fault {
	if f.replaces() {
		return f
	}
	said.Cut, said.Chunked, said.Prefix, said.Suffix, said.Behind = f.Cut, f.Chunked, f.Prefix, f.Suffix, f.Behind
	return said
}

// post counts a POST and says what it meets.
func (s *Server) post(t Task, plan Plan) (*entry, Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.ledger.entry(s.name(t))
	if log.Posts == 0 {
		log.first = time.Now()
	}
	fault := s.faultFor(plan.Submit, log.posts, time.Since(log.first), submitCall)
	if fault.Until == 0 {
		log.posts++
	}
	s.ledger.posted(log, t)
	if fault.doubtful() && !fault.accepts() {
		log.Doubtful++
	}
	return log, fault
}

// faultFor is to be called with mu held. The outage goes before the plan, and the plan before chance.
func (s *Server) faultFor(planned []Fault, n int, age time.Duration, call callKind) Fault {
	if s.outage != nil {
		return *s.outage
	}
	if fault, ok := strike(planned, n, age); ok {
		return fault
	}
	return s.dice.roll(call)
}

// accept starts the task's workflow and returns what the client is told of it, or why there is none.
func (s *Server) accept(r *http.Request, problem error, t Task, plan Plan, fault Fault, log *entry) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.rightKey(r) {
		return refusal(http.StatusUnauthorized, "Invalid API Key")
	}
	if t.SessionID != "" && !s.session(t.SessionID) {
		return refusal(http.StatusForbidden, "You do not have access to this session")
	}
	if problem != nil {
		return refusal(http.StatusBadRequest, problem.Error())
	}
	if wait := s.window.take(s.rate, time.Now()); wait > 0 {
		f := refusal(http.StatusTooManyRequests, "Session creation rate limit exceeded.")
		f.Header = exhausted(s.rate, int((wait+time.Second-1)/time.Second))
		return f
	}
	if s.maxRunning >= 0 && s.ledger.running >= s.maxRunning {
		return refusal(http.StatusTooManyRequests, "too many concurrent browsers")
	}
	wf := s.ledger.accepted(log, plan)
	if fault.doubtful() {
		log.Doubtful++
	}
	if plan.Block {
		s.blocks.add(s.name(t), func() { s.run(wf, t) })
	} else {
		s.run(wf, t)
	}
	return fault.instead(data(map[string]string{"status": "running", "workflow_id": wf.id}))
}

// rightKey is to be called with mu held.
func (s *Server) rightKey(r *http.Request) bool { return r.Header.Get("Anchor-Api-Key") == s.key }
