package inspect

import (
	"strconv"

	"github.com/capstan-worker/capstan/internal/operator"
	"github.com/capstan-worker/capstan/internal/task"
)

// Session is the browser session of a task or of one of its runs, and what that used.
type Session struct {
	ID      string   // of the last run; "" if none is known
	Ended   *bool    // whether Anchor confirmed its end; nil until it is to end, and if Capstan did not create it
	Steps   *int     // nil if not known
	Credits *float64 // nil if not known
}

// Session returns what the record says of the task's session or, once the record has expired, the event.
func (t Task) Session() Session {
	switch {
	case t.Record != nil:
		return Session{t.Record.SessionID, t.Record.SessionEnded, t.Record.Steps, t.Record.Credits}
	case t.Event != nil:
		return Session{t.Event.SessionID, t.Event.SessionEnded, t.Event.Steps, t.Event.Credits}
	default:
		return Session{}
	}
}

// SessionOf returns the session of a run.
func SessionOf(run task.Run) Session {
	return Session{ID: run.SessionID, Steps: run.Steps, Credits: run.Credits}
}

// EndText says for people whether the session has ended. It is "" if that is not known.
func (s Session) EndText() string {
	switch {
	case s.Ended == nil:
		return ""
	case *s.Ended:
		return "ended"
	default:
		return "end not confirmed, so it ends by itself"
	}
}

// StepsText returns the steps as text, or "" if they are not known.
func (s Session) StepsText() string {
	if s.Steps == nil {
		return ""
	}
	return strconv.Itoa(*s.Steps)
}

// CreditsText returns the credits as text, or "" if they are not known.
func (s Session) CreditsText() string {
	if s.Credits == nil {
		return ""
	}
	return operator.CreditsText(*s.Credits)
}
