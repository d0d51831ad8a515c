package anchortest

import (
	"io"
	"net/http"
	"time"
)

// maxBody bounds what is read of a submission, in bytes.
const maxBody = 16 << 20

// handleSubmit answers POST /v1/tools/perform-web-task.
func (s *Server) handleSubmit(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		s.answer(w, r, refusal(http.StatusRequestEntityTooLarge, "the body is too large"))
		return
	}
	t, invalid := readTask(body, r.URL.Query().Get("sessionId"))
	plan, invalidPlan := s.plan(t)
	if invalid == nil {
		invalid = invalidPlan
	}
	log, fault := s.logPost(t, plan)
	// The client may have given up by now: the task is accepted nevertheless, as by an API whose answer is
	// lost.
	s.sleep(fault.Before)
	answer := fault
	if fault.allowsAccept() {
		answer = s.accept(r, invalid, t, plan, fault, log)
	}
	s.sleep(fault.After)
	s.answer(w, r, answer)
}

// logPost counts a POST and returns the fault that strikes it. It counts the POST before its delay, so that
// a test can see a call that is still in progress.
func (s *Server) logPost(t Task, plan Plan) (*entry, Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.ledger.addPost(s.name(t), t)
	fault := s.faultFor(plan.Submit, log.posts, time.Since(log.Posted), submitCall)
	if fault.Until == 0 {
		log.posts++
	}
	if fault.leavesDoubt() && !fault.allowsAccept() {
		log.Doubtful++
	}
	return log, fault
}

// faultFor returns the fault that strikes a call: the outage's, the plan's for call number n, or a random one. An outage that
// only makes calls slow does not hide what the plan answers. The caller holds mu.
func (s *Server) faultFor(planned []Fault, n int, age time.Duration, call callKind) Fault {
	fault, isPlanned := faultAt(planned, n, age)
	switch {
	case s.outage == nil && isPlanned:
		return fault
	case s.outage == nil:
		return s.dice.roll(call)
	case isPlanned && !s.outage.replacesAnswer():
		fault.Before += s.outage.Before
		fault.After += s.outage.After
		return fault
	default:
		return *s.outage
	}
}

// accept starts the workflow of a task. It returns the answer, which may be an error for which there is no workflow.
func (s *Server) accept(r *http.Request, invalid error, t Task, plan Plan, fault Fault, log *entry) (answer Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasKey(r) {
		return refusal(http.StatusUnauthorized, "Invalid API Key")
	}
	header, refused := s.starts.count()
	if header != nil && !fault.replacesAnswer() {
		defer func() { answer.Header = header }()
	}
	if refused {
		return tooManyStarts()
	}
	return s.start(invalid, t, plan, fault, log)
}

// start starts the workflow of a task that the key and the rate allow. The caller holds mu.
func (s *Server) start(invalid error, t Task, plan Plan, fault Fault, log *entry) Fault {
	if t.SessionID != "" && !s.ownsSession(t.SessionID) {
		return refusal(http.StatusForbidden, "You do not have access to this session")
	}
	if invalid != nil {
		return refusal(http.StatusBadRequest, invalid.Error())
	}
	if s.maxRunning >= 0 && s.ledger.running >= s.maxRunning {
		return refusal(http.StatusTooManyRequests, "too many concurrent browsers")
	}
	wf := s.ledger.addWorkflow(log, plan)
	if fault.leavesDoubt() {
		log.Doubtful++
	}
	if plan.Block {
		s.blocks.add(s.name(t), func() { s.run(wf, t) })
	} else {
		s.run(wf, t)
	}
	return fault.onto(success(data{Status: "running", Workflow: wf.id}))
}

// hasKey reports whether a call has the API key. The caller holds mu.
func (s *Server) hasKey(r *http.Request) bool { return r.Header.Get("Anchor-Api-Key") == s.key }
