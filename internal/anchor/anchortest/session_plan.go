package anchortest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// SessionPlan is what the calls about one session meet. The zero SessionPlan is that of a session without faults. As JSON,
// durations are spelled as in Go: "1.5s". [Fault.During] counts from the first of these calls.
type SessionPlan struct {
	Create []Fault `json:"create,omitempty"` // strike the POSTs with the same tags, in this order; later ones succeed
	Get    []Fault `json:"get,omitempty"`    // strike the GETs of each session, likewise
	End    []Fault `json:"end,omitempty"`    // strike the DELETEs of each session, likewise
	List   []Fault `json:"list,omitempty"`   // strike the lists that ask for the same tags, likewise
}

// WithSessionPlan sets the function that plans the calls about sessions, from the tags of a session or those that a list
// asks for. It is called from many goroutines at once, and must return the same plan for the same tags. Default:
// MarkedSessionPlan.
func WithSessionPlan(plan func(tags []string) SessionPlan) Option {
	return func(s *Server) {
		s.planSession = func(tags []string) (SessionPlan, error) { return plan(tags), nil }
	}
}

// SessionTag returns a tag that contains the plan, which MarkedSessionPlan finds. The error means that the plan cannot be
// JSON.
func SessionTag(p SessionPlan) (string, error) {
	plan, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("put plan into tag: %w", err)
	}
	return "plan:" + string(plan), nil
}

// MarkedSessionPlan reads the plan in the first tag that begins with "plan:{". Without one it is the zero SessionPlan. The
// server answers an invalid plan with 400. A list cannot ask for such a tag, because commas separate the tags that it asks
// for.
func MarkedSessionPlan(tags []string) (SessionPlan, error) {
	var p SessionPlan
	for _, tag := range tags {
		if !strings.HasPrefix(tag, marker) {
			continue
		}
		if err := unmarshalStrict([]byte(strings.TrimPrefix(tag, "plan:")), &p); err != nil {
			return SessionPlan{}, fmt.Errorf("read the plan in the tag: %w", err)
		}
		return p, nil
	}
	return p, nil
}

// of returns what the calls of a kind meet.
func (p SessionPlan) of(call callKind) []Fault {
	switch call {
	case createCall:
		return p.Create
	case getCall:
		return p.Get
	case endCall:
		return p.End
	case listCall:
		return p.List
	default:
		return nil
	}
}

// sessionCalls are the calls of a kind about a session, for Fault.Times and Fault.Until.
type sessionCalls struct {
	first time.Time
	count int // without those struck by a fault with Until
}

// sessionCallsKey names sessionCalls: the id of the session or, where there is none, the tags.
type sessionCallsKey struct {
	call callKind
	name string
}

// sessionFault counts a call about a session and returns the fault that strikes it. The caller holds mu.
func (s *Server) sessionFault(call callKind, name string, plan SessionPlan) Fault {
	key := sessionCallsKey{call, name}
	calls := s.sessions.calls[key]
	if calls == nil {
		calls = &sessionCalls{first: time.Now()}
		s.sessions.calls[key] = calls
	}
	fault := s.faultFor(plan.of(call), calls.count, time.Since(calls.first), call)
	if fault.Until == 0 {
		calls.count++
	}
	return fault
}

// answerSessionCall answers a call about sessions that meets a fault. act does what the call asks for and returns the
// documented answer; it is called with mu held, unless the fault replaces the answer and is not ButAccepted.
func (s *Server) answerSessionCall(w http.ResponseWriter, r *http.Request, fault Fault, act func() Fault) {
	s.sleep(fault.Before)
	answer := fault
	if fault.allowsAccept() {
		answer = s.withKey(r, func() Fault { return fault.onto(act()) })
	}
	s.sleep(fault.After)
	s.answer(w, r, answer)
}

// withKey returns what act returns, which is called with mu held, or 401 if the key is wrong.
func (s *Server) withKey(r *http.Request, act func() Fault) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasKey(r) {
		return wrongKey(r)
	}
	return act()
}
