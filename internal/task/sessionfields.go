package task

import (
	"bytes"
	"encoding/json"
	"time"
)

// readSession takes what the browser session is created with.
func (r *Request) readSession(value json.RawMessage) error {
	r.Session = bytes.Clone(value)
	return checkObject(r, value)
}

// readBrowser takes what the browser of the session is created with.
func (r *Request) readBrowser(value json.RawMessage) error {
	r.Browser = bytes.Clone(value)
	return checkObject(r, value)
}

// checkSession refuses what the session cannot be created with, and a session to create beside one that exists.
func (r *Request) checkSession() error {
	switch {
	case r.SessionID == "":
		if _, err := r.NewSession().JSON(); err != nil {
			return &violation{rule: err.Error()}
		}
		return nil
	case r.Session != nil:
		return &violation{field: "session", rule: "must not stand beside sessionId, which names a session that exists"}
	case r.Browser != nil:
		return &violation{field: "browser", rule: "must not stand beside sessionId, which names a session that exists"}
	case r.OnUnknown == Fence:
		return &violation{field: "on_unknown_submission", rule: `must not be "fence" beside sessionId: only a session of the task's own can be ended`}
	default:
		return nil
	}
}

// NeedsSession returns the field that only a worker with SESSIONS=on can heed, or "" if there is none.
func (r *Request) NeedsSession() string {
	switch {
	case r.Session != nil:
		return "session"
	case r.Browser != nil:
		return "browser"
	case r.OnUnknown == Fence:
		return "on_unknown_submission"
	default:
		return ""
	}
}

// TagOfAll is on every session that Capstan creates.
const TagOfAll = "capstan"

// SessionTag is on every session that Capstan creates for a task.
func SessionTag(taskID string) string { return "capstan-task:" + taskID }

// NewSession returns the session in which the task is to run. Its tags name the task and its batch.
func (r *Request) NewSession() SessionRequest {
	tags := []string{TagOfAll, SessionTag(r.TaskID)}
	if r.Batch != "" {
		tags = append(tags, "capstan-batch:"+r.Batch)
	}
	return SessionRequest{
		Tags: tags, MaxDuration: r.Timeout + idleTimeout + sessionMargin, IdleTimeout: idleTimeout,
		Session: r.Session, Browser: r.Browser,
	}
}

const (
	// idleTimeout is after which time without use the API ends a session that nobody knows of any more.
	idleTimeout = 5 * time.Minute

	// sessionMargin is how much longer than the task and the wait before it a session may last.
	sessionMargin = time.Minute
)
