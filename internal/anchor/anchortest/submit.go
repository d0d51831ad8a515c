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
	log := s.identify(r, &t)
	plan, invalidPlan := s.plan(t)
	if invalid == nil {
		invalid = invalidPlan
	}
	fault := s.logPost(log, t, plan)
	// The client may have given up by now: the task is accepted nevertheless, as by an API whose answer is
	// lost.
	s.sleep(fault.Before)
	answer := fault
	if fault.allowsAccept() {
		var wf *workflow
		answer, wf = s.accept(r, invalid, t, plan, fault, log)
		if wf != nil && !t.Async && !fault.replacesAnswer() {
			answer = s.await(r, wf, answer, fault)
		}
	}
	s.sleep(fault.After)
	s.answer(w, r, answer)
}

// identify finds the log of a task, and gives the task its number.
func (s *Server) identify(r *http.Request, t *Task) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.ledger.entryOf(s.name(*t), *t, s.repeats)
	t.Number = log.number
	c := callOf(r)
	c.Task, c.Session = t.Prompt, t.SessionID
	return log
}

// logPost counts a POST and returns the fault that strikes it. It counts the POST before its delay, so that
// a test can see a call that is still in progress.
func (s *Server) logPost(log *entry, t Task, plan Plan) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noBodies {
		t.Body = nil
	}
	s.ledger.addPost(log, t)
	fault := s.faultFor(plan.Submit, log.posts, time.Since(log.Posted), submitCall)
	if fault.Until == 0 {
		log.posts++
	}
	if fault.leavesDoubt() && !fault.allowsAccept() {
		log.Doubtful++
	}
	return fault
}

// faultFor returns the fault that strikes a call: the outage's, the plan's for call number n, or a random one. An outage that
// only makes calls slow does not hide what the plan answers. The caller holds mu.
func (s *Server) faultFor(planned []Fault, n int, age time.Duration, call callKind) Fault {
	fault, isPlanned := faultAt(planned, n, age)
	switch {
	case s.outage == nil && isPlanned:
		return fault
	case s.outage == nil:
		return s.roll(call)
	case isPlanned && !s.outage.replacesAnswer():
		fault.Before += s.outage.Before
		fault.After += s.outage.After
		return fault
	default:
		return *s.outage
	}
}

// accept starts the workflow of a task. It returns the answer, which may be an error for which there is no workflow. A
// task that names a session takes no new browser, so it does not count against the rate.
func (s *Server) accept(r *http.Request, invalid error, t Task, plan Plan, fault Fault, log *entry) (answer Fault, wf *workflow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasKey(r) {
		return wrongKey(r), nil
	}
	if t.SessionID == "" {
		header, refused := s.starts.count()
		if header != nil && !fault.replacesAnswer() {
			defer func() { answer.Header = header }()
		}
		if refused {
			return tooManyStarts(), nil
		}
	}
	return s.start(r, invalid, t, plan, fault, log)
}

// start starts the workflow of a task that the key and the rate allow. The caller holds mu.
func (s *Server) start(r *http.Request, invalid error, t Task, plan Plan, fault Fault, log *entry) (Fault, *workflow) {
	if invalid != nil {
		return refusal(http.StatusBadRequest, invalid.Error()), nil
	}
	ss, refused := s.sessionOf(t)
	if refused != nil {
		return *refused, nil
	}
	wf := s.ledger.addWorkflow(log, s.complete(plan))
	if wf.session = ss; ss != nil && ss.isOpen() {
		ss.begin(wf, t)
	}
	if fault.leavesDoubt() {
		log.Doubtful++
	}
	log.answered = !fault.replacesAnswer() && !fault.Cut
	if !t.Async {
		wf.done = make(chan struct{})
	}
	switch {
	case ss != nil && !ss.isOpen():
		s.orphan(wf)
	case wf.plan.Block:
		s.blocks.add(log.name, func() { s.run(wf, t) })
	default:
		s.run(wf, t)
	}
	c := callOf(r)
	c.Workflow, c.done = wf.id, "workflow "+wf.id+" runs"
	c.note("workflow %s, %s; %s", wf.id, wf.foreseen(), s.browsersInUse())
	if c.Fault == "" {
		c.Fault = wf.plan.Name
	}
	return fault.onto(success(data{Status: "running", Workflow: wf.id})), wf
}

// hasKey reports whether a call has the API key. The caller holds mu.
func (s *Server) hasKey(r *http.Request) bool { return r.Header.Get("Anchor-Api-Key") == s.key }
